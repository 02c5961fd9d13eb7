"""`flatdirs.tune`: a function in a script or a notebook."""

from __future__ import annotations

import functools
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flatdirs
from flatdirs.backend.pruner_settings import Rungs
from flatdirs.errors import ConfigError, MissingExtra, ObjectiveError, StudyError
from tests.refused import refused

START = {"lr": 0.1, "wd": 5e-4}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(lr: float, wd: float, seed: int) -> float:
    """A hill in lr·wd with its top at 0.0004, with seed noise."""
    return 94 - math.log2(lr * wd / 4e-4) ** 2 + 0.05 * random.Random(seed).gauss(0, 1)


tune = functools.partial(flatdirs.tune, train, START, direction="maximize", confirm=0, progress=False)


def test_a_function_is_tuned_and_confirmed(capsys: pytest.CaptureFixture[str]) -> None:
    result = tune(budget=8, confirm=6)
    assert result.best is not None
    assert result.verdict is not None
    assert result.verdict.confirmed
    assert result.verdict.handed_over in ("incumbent", "runner-up")
    assert result.verdict.hyperparameters == result.best
    assert result.best in [one.settings for one in result.tuned]
    assert set(result.verdict.leads) == {"incumbent", "runner-up"}
    assert set(result.best) == set(START)
    assert train(**result.best, seed=0) > train(**START, seed=0) + 2
    assert [one.run for one in result.tuned] == list(range(1, 9))
    assert result.tuned[0].settings == START
    assert set(result.confirmed) == {"start", "incumbent", "runner-up"}
    assert len(result.confirmed["start"]) == len(result.confirmed[result.verdict.handed_over]) == 6
    assert result.best_observed is not None
    assert result.best_observed.value == max(one.value or -math.inf for one in result.tuned)
    assert {line.axis for line in result.flatness} <= {"lr·wd", "wd"}
    assert capsys.readouterr().out == ""
    assert Path("studies/train/best.yaml").is_file()


@pytest.mark.slow
def test_the_last_runs_of_a_budget_are_replicates() -> None:
    told, longer = ([one.settings for one in tune(budget=budget).tuned] for budget in (14, 17))
    assert told[:12] == longer[:12]
    assert all(settings in told[:12] for settings in told[12:])
    assert not all(settings in longer[:12] for settings in longer[12:14])


def test_until_converged_ends_a_search_before_its_budget() -> None:
    draws = random.Random(2)

    def noisy(lr: float) -> float:
        return 94 - math.log2(lr / 0.3) ** 2 + draws.gauss(0, 0.3)

    found = flatdirs.tune(
        noisy, {"lr": 0.1}, direction="maximize", budget=30, confirm=0, until="converged", progress=False
    )
    settings = [one.settings["lr"] for one in found.tuned]
    assert 6 <= len(settings) < 30
    assert len(set(settings)) < len(settings)
    assert found.best is not None
    assert 0.15 < found.best["lr"] < 0.6


@pytest.mark.parametrize("storage", ["study.log", "sqlite:///study.db"])
def test_the_same_call_goes_on_with_its_study(storage: str) -> None:
    calls: list[int] = []

    def counted(lr: float, wd: float, seed: int) -> float:
        calls.append(seed)
        return train(lr, wd, seed)

    again = functools.partial(flatdirs.tune, counted, START, direction="maximize", confirm=0, progress=False)
    again(budget=3, storage=storage)
    result = again(budget=5, storage=storage)
    assert len(calls) == len(result.tuned) == 5
    again(budget=5, storage=storage)
    assert len(calls) == 5
    with refused(StudyError, "start.lr"):
        flatdirs.tune(counted, {**START, "lr": 0.2}, direction="maximize", storage=storage, progress=False)
    again(budget=1, storage=storage, study="another")
    assert len(calls) == 6


def test_without_a_terminal_each_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    result = tune(budget=4, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("run ") for line in lines) == 4
    assert result.best is not None
    call = next(line for line in lines if line.startswith("call it: "))
    assert call == f"call it: train(lr={result.best['lr']!r}, wd={result.best['wd']!r})"
    assert not any("flatdirs tune" in line for line in lines)


def test_the_result_is_a_table_a_figure_and_a_page() -> None:
    result = tune(budget=6, confirm=4, ranges={"wd": (1e-5, 1e-1)})
    table = result.runs
    assert list(table.index) == [1, 2, 3, 4, 5, 6]
    assert list(table.columns) == ["lr", "wd", "value", "state", "seconds", "reason"]
    assert table["value"].max() == result.best_observed.value  # type: ignore[union-attr]
    assert [axes.get_xlabel() for axes in result.figure().axes] == ["run", "lr", "wd"]
    page = result._repr_html_()
    assert page.count("<tr") == 1 + 6
    assert "best expected" in page
    assert "confirmed" in str(result)
    assert repr(result) == str(result)


def test_a_search_in_which_all_runs_diverge_has_no_best() -> None:
    result = flatdirs.tune(lambda lr: math.nan, {"lr": 0.1}, direction="minimize", budget=3, progress=False)
    assert result.best is result.best_expected is result.best_observed is None
    assert list(result.runs["state"]) == ["diverged"] * 3
    assert result.figure().axes
    assert "diverged" in result._repr_html_()


def test_own_names_fixed_arguments_and_further_hyperparameters() -> None:
    seen: list[dict[str, Any]] = []

    def own(eta: float, weight_decay: float, dropout: float, kind: str, width: int, report: Any, run: Any) -> float:
        seen.append({"number": run.number, "kind": kind, "width": width, "folder": run.folder, "dropout": dropout})
        report(10, 1.0)
        return 90 - math.log2(eta / 0.3) ** 2 - abs(dropout - 0.2) + (kind == "adamw")

    result = flatdirs.tune(
        own, {"eta": 0.1, "weight_decay": 5e-4, "dropout": 0.1}, direction="maximize", budget=12, confirm=4,
        names={"lr": "eta"}, kwargs={"width": 7}, fixed=["weight_decay"], ranges={"dropout": (0, 0.5)},
        choices={"kind": ["sgd", "adamw"]}, progress=False,
    )  # fmt: skip
    assert result.best is not None
    assert set(result.best) == {"eta", "weight_decay", "dropout", "kind"}
    assert result.best["weight_decay"] == 5e-4
    assert own(**result.best, width=7, report=lambda *_: None, run=type("Run", (), {"number": 0, "folder": 0})) > 0
    made = [one["number"] for one in seen if one["number"]]
    assert made == list(range(1, 13))
    assert len({one["folder"] for one in seen if one["number"]}) == 12
    assert {one["width"] for one in seen} == {7}
    assert {one["kind"] for one in seen} == {"sgd", "adamw"}
    assert all(0 <= one["dropout"] <= 0.5 for one in seen)


def test_without_a_seed_each_call_is_a_fresh_draw_unless_two_agree() -> None:
    def exact(lr: float) -> float:
        return 94 - math.log2(lr / 0.3) ** 2

    draws = random.Random(0)

    def noisy(lr: float) -> float:
        return exact(lr) + draws.gauss(0, 0.3)

    def places(function: Callable[..., float], **options: Any) -> flatdirs.SearchResult:
        return flatdirs.tune(
            function, {"lr": 0.1}, direction="maximize", budget=14, confirm=4, progress=False, **options
        )

    once = places(exact)
    repeated = [one for one in once.tuned if [dict(other.settings) for other in once.tuned].count(one.settings) > 1]
    assert len(repeated) <= 2
    assert once.confirmed == {}
    assert once.verdict is not None
    assert (once.verdict.basis, once.verdict.handed_over) == ("deterministic", "incumbent")
    assert once.best_expected is not None
    assert once.best_observed is not None
    assert exact(**once.best_expected.settings) == once.best_observed.value == once.best_expected.value
    assert places(noisy, study="noisy").confirmed
    told = places(exact, study="told", deterministic=True)
    assert len({one.settings["lr"] for one in told.tuned}) == len(told.tuned)


def test_an_exception_is_the_cause_and_the_same_call_goes_on() -> None:
    fails = [True]

    def buggy(lr: float) -> float:
        if lr != 0.1 and fails[0]:
            raise ZeroDivisionError("a bug")
        return 1 - abs(math.log2(lr / 0.3))

    def search(**options: Any) -> flatdirs.SearchResult:
        return flatdirs.tune(
            buggy, {"lr": 0.1}, direction="maximize", budget=4, storage="s.log", progress=False, **options
        )

    with refused(ObjectiveError, "train", "lr="):
        search()
    with pytest.raises(ObjectiveError) as caught:
        search()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "in buggy" in caught.value.detail
    fails[0] = False
    assert len(search().tuned) == 4
    fails[0] = True
    with refused(ObjectiveError, "train", "catch=True"):
        search(study="caught")
    assert "diverged" in [one.state for one in search(study="caught", catch=True).tuned]


@pytest.mark.parametrize(
    ("changes", "error", "key"),
    [
        ({"direction": "up"}, ConfigError, "direction"),
        ({"budget": 0}, ConfigError, "budget"),
        ({"confirm": -1}, ConfigError, "confirm"),
        ({"confirm": 3}, ConfigError, "confirm"),
        ({"repeats": 0.5}, ConfigError, "repeats"),
        ({"minutes": 0}, ConfigError, "minutes"),
        ({"target": "high"}, ConfigError, "target"),
        ({"until": "soon"}, ConfigError, "until"),
        ({"until": "converged", "search": "myrtle"}, ConfigError, "until"),
        ({"until": "converged", "deterministic": True}, ConfigError, "until"),
        ({"pruner": "median"}, ConfigError, "pruner"),
        ({"study": "a/b"}, ConfigError, "study"),
        ({"catch": 1}, ConfigError, "catch"),
        ({"deterministic": "yes"}, ConfigError, "deterministic"),
        ({"kwargs": {"width": 3}}, ObjectiveError, "train"),
        ({"kwargs": {"wd": 3}}, ObjectiveError, "kwargs"),
        ({"kwargs": [3]}, ConfigError, "kwargs"),
        ({"names": {"wd": "decay"}}, ObjectiveError, "train"),
        ({"names": {"depth": "layers"}}, ConfigError, "names"),
        ({"names": "wd"}, ConfigError, "names"),
        ({"stale_minutes": "long"}, ConfigError, "stale_minutes"),
        ({"output": 3}, StudyError, "output"),
        ({"storage": 3}, StudyError, "storage"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_run(changes: dict[str, Any], error: Any, key: str) -> None:
    with refused(error, key):
        tune(**changes)
    assert not Path("studies").exists()


def test_what_cannot_be_called_with_the_start_is_refused() -> None:
    with refused(ConfigError, "train"):
        flatdirs.tune(3, START, direction="maximize")  # type: ignore[arg-type]
    with refused(ObjectiveError, "train", "wd"):
        flatdirs.tune(lambda lr: lr, START, direction="maximize")


def test_a_function_may_be_given_by_its_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("by_path.py").write_text("def train(eta, wd, extra):\n    return -abs(eta - extra)\n", encoding="utf-8")
    flatdirs.tune(
        "by_path:train", {"eta": 0.1, "wd": 5e-4}, direction="maximize", budget=2, confirm=0,
        names={"lr": "eta"}, kwargs={"extra": 3},
    )  # fmt: skip
    told = capsys.readouterr().out + Path("studies/train/best.yaml").read_text(encoding="utf-8")
    assert told.count("train(eta=0.4, wd=0.0005, **kwargs)") == 2
    assert "flatdirs tune" not in told
    with refused(ObjectiveError, "train"):
        flatdirs.tune("by_path:nothing", START, direction="maximize")


def test_a_pruner_stops_runs_by_what_they_report() -> None:
    def reports(lr: float, report: Any) -> float:
        for epoch in range(1, 9):
            report(epoch, -abs(math.log2(lr / 0.3)))
        return -abs(math.log2(lr / 0.3))

    found = flatdirs.tune(
        reports, {"lr": 0.1}, direction="maximize", budget=10, search="random", confirm=0, progress=False,
        pruner=Rungs(first_rung=2), ranges={"lr": (0.01, 1)},
    )  # fmt: skip
    assert "pruned" in [one.state for one in found.tuned]


def test_pandas_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    result = tune(budget=1)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with refused(MissingExtra, "flatdirs[pandas]"):
        _ = result.runs


ORDERS = {
    "the function first": "import flatdirs; f = flatdirs.tune; import flatdirs.tune; f = flatdirs.tune",
    "the module first": "import flatdirs.tune, flatdirs; f = flatdirs.tune",
    "by name": "from flatdirs import tune as f",
    "after the command": "import flatdirs.cli.tune, flatdirs; f = flatdirs.tune",
}


@pytest.mark.slow
@pytest.mark.parametrize("order", list(ORDERS))
def test_tune_is_a_function_whatever_is_imported_first(order: str, tmp_path: Path) -> None:
    text = f"{ORDERS[order]}\nprint(len(f(lambda lr: lr, {{'lr': 0.1}}, direction='minimize', budget=2).tuned))\n"
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2"


@pytest.mark.slow
def test_the_module_is_still_the_command(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def train(lr, momentum, wd): return lr\n")
    words = ["task=callable", "task.function=mine:train", "budget=2", "confirm=0"]
    for start in (["-m", "flatdirs.tune"], ["-m", "flatdirs", "tune"], ["-W", "error", "-m", "flatdirs.tune"]):
        done = subprocess.run(
            [sys.executable, *start, *words, f"study={len(start)}"], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "best: run" in done.stdout


@pytest.mark.slow
def test_a_changed_function_is_told_once_and_a_changed_script_is_not(tmp_path: Path) -> None:
    body = "def train(lr): return {value}\nr = flatdirs.tune(train, {{'lr': 0.1}}, direction='minimize', confirm=0, "
    script = "import flatdirs\n" + body + "storage='s.log', budget={budget})\n"

    def told(value: str, budget: int) -> bool:
        (tmp_path / "script.py").write_text(script.format(value=value, budget=budget))
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return "train has changed" in done.stdout

    assert [told("lr", 2), told("lr", 3), told("2 * lr", 4), told("2 * lr", 5)] == [False, False, True, False]


def test_the_change_along_a_whole_number_is_between_the_numbers_named() -> None:
    result = flatdirs.tune(
        lambda layers: 0.123456 - (layers - 3) ** 2, {"layers": 2}, ranges={"layers": (1, 6)}, direction="maximize",
        budget=14, deterministic=True, progress=False,
    )  # fmt: skip
    changes = {line.change: line for line in result.flatness}
    assert set(changes) == {"3 → 4", "3 → 2"}
    assert all(line.low < -1 < line.high for line in changes.values())
