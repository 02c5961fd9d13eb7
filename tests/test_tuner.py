"""Ask for a setting, tell its value: in Python, from another process, and by the commands ask and tell."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flatdirs import Tuner
from flatdirs.errors import ChartError, ConfigError, StudyError
from tests.conftest import Ended, told_nothing
from tests.refused import refused

Command = Callable[..., Ended]
START = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
PLACES = ["memory", "study.log", "sqlite:///study.db"]


def hill(settings: Mapping[str, Any]) -> float:
    """A smooth hill in lr·wd/(1−momentum)."""
    return 94 - math.log2(settings["lr"] * settings["wd"] / (1 - settings["momentum"]) / 0.00256) ** 2


def tuner(place: str = "memory", folder: Path | None = None, **options: Any) -> Tuner:
    """A tuner of the hill."""
    where = None if place == "memory" else place if folder is None else place.replace("study", str(folder / "study"), 1)
    return Tuner(options.pop("start", START), options.pop("direction", "maximize"), storage=where, **options)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_told_decides_what_is_asked(place: str, tmp_path: Path) -> None:
    with tuner(place, tmp_path) as mine:
        assert mine.best_observed is mine.best_expected is None
        numbers = []
        for _ in range(10):
            asked = mine.ask()
            numbers.append(asked.run)
            assert mine.pending == [asked.run]
            mine.tell(asked.run, hill(asked.settings))
        assert numbers == list(range(1, 11))
        assert mine.pending == []
        observed, expected = mine.best_observed, mine.best_expected
        assert observed is not None
        assert expected is not None
        assert observed.value == pytest.approx(hill(observed.settings))
        assert observed.value > hill(START) + 1
        assert expected.interval is not None
        assert expected.interval[0] <= expected.value <= expected.interval[1]


def test_the_first_run_is_the_start_and_later_ones_say_what_they_expect() -> None:
    mine = tuner()
    first = mine.ask()
    assert (first.run, first.settings, first.seed, first.replicate) == (1, START, 0, 0)
    assert first.expected is first.interval is None
    assert first.reason
    mine.tell(first.run, hill(first.settings))
    for _ in range(6):
        asked = mine.ask()
        mine.tell(asked.run, hill(asked.settings))
    asked = mine.ask()
    assert asked.expected is not None
    assert asked.interval is not None
    assert asked.interval[0] < asked.expected < asked.interval[1]


def test_a_loss_is_expected_in_its_own_unit() -> None:
    mine = tuner(direction="minimize")
    for _ in range(9):
        asked = mine.ask()
        mine.tell(asked.run, 100 - hill(asked.settings))
    observed, expected = mine.best_observed, mine.best_expected
    assert observed is not None
    assert expected is not None
    assert 6 <= observed.value < 100 - hill(START)
    assert expected.value == pytest.approx(observed.value, abs=1)
    assert expected.interval is not None
    assert expected.interval[0] <= expected.interval[1]


def test_several_may_be_asked_before_any_is_told_and_told_in_any_order() -> None:
    mine = tuner()
    asked = [mine.ask() for _ in range(4)]
    assert len({tuple(one.settings.items()) for one in asked}) == 4
    for one in reversed(asked):
        mine.tell(one.run, hill(one.settings))
    best = mine.best_observed
    assert best is not None
    assert best.settings == max((one.settings for one in asked), key=hill)


def test_a_replicate_has_a_seed_of_its_own() -> None:
    mine = tuner(seed=5, deterministic=None)
    seeds: dict[tuple[Any, ...], list[int]] = {}
    for number in range(14):
        asked = mine.ask()
        own = seeds.setdefault(tuple(asked.settings.values()), [])
        assert asked.replicate == len(own)
        own.append(asked.seed)
        mine.tell(asked.run, hill(asked.settings) + 0.1 * (-1) ** number)
    assert all(own == [5 + n for n in range(len(own))] for own in seeds.values())
    assert max(map(len, seeds.values())) > 1


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "diverged", "nan"])
def test_a_run_may_have_diverged(value: Any) -> None:
    mine = tuner()
    mine.tell(mine.ask().run, value)
    assert mine.best_observed is None
    second = mine.ask()
    assert second.run == 2
    assert second.settings != START


@pytest.mark.parametrize("place", PLACES[1:])
def test_another_process_may_tell_and_go_on(place: str, tmp_path: Path) -> None:
    with tuner(place, tmp_path) as mine:
        first = mine.ask()
        second = mine.ask()
    with tuner(place, tmp_path) as again:
        assert again.pending == [1, 2]
        again.tell(second.run, hill(second.settings))
        assert again.pending == [1]
        third = again.ask()
        assert third.run == 3
        assert third.settings not in (first.settings, second.settings)
        again.tell(1, hill(first.settings))
        with refused(StudyError, "run"):
            again.tell(1, 5.0)


def test_a_run_that_is_never_told_is_forgotten_after_a_while_and_counts_when_it_is_told() -> None:
    mine = tuner(stale_minutes=1e-9)
    lost = mine.ask()
    assert mine.pending == []
    again = mine.ask()
    assert (again.run, again.settings) == (2, lost.settings)
    mine.tell(2, 90.0)
    mine.tell(1, 91.0)
    best = mine.best_observed
    assert best is not None
    assert (best.run, best.value) == (1, 91.0)


def test_numbers_stay_when_another_run_grows_stale() -> None:
    mine = tuner(stale_minutes=1e-9)
    asked = [mine.ask() for _ in range(3)]
    assert [one.run for one in asked] == [1, 2, 3]
    mine.tell(3, 90.0)
    best = mine.best_observed
    assert best is not None
    assert best.run == 3


def test_what_cannot_be_told_is_refused() -> None:
    mine = tuner()
    asked = mine.ask()
    for run, value, error, key in (
        (7, 1.0, StudyError, "run"),
        (0, 1.0, StudyError, "run"),
        (asked.run, "good", ConfigError, "value"),
        (asked.run, True, ConfigError, "value"),
        (asked.run, [1.0], ConfigError, "value"),
    ):
        with refused(error, key):
            mine.tell(run, value)  # type: ignore[arg-type]
    mine.tell(asked.run, 1.0)
    with refused(StudyError, "run"):
        mine.tell(asked.run, 1.0)


@pytest.mark.parametrize(
    ("changes", "error", "key"),
    [
        ({"direction": "up"}, ConfigError, "direction"),
        ({"start": {}}, ConfigError, "start"),
        ({"start": {"lr": "0.1"}}, ConfigError, "start"),
        ({"start": {"lr": 0.1, "learning_rate": 0.2}}, ConfigError, "start"),
        ({"start": {"lr": -0.1}}, ChartError, "start.lr"),
        ({"ranges": {"dropout": (0, 0.5)}}, ConfigError, "ranges"),
        ({"ranges": {"lr": 0.5}}, ConfigError, "ranges"),
        ({"ranges": {"lr": (0.2, 0.5)}}, ConfigError, "ranges"),
        ({"ranges": {"lr": (0.5, 0.01)}}, ConfigError, "ranges"),
        ({"ranges": {"lr": (math.nan, 0.5)}}, ConfigError, "ranges"),
        ({"ranges": {"lr": (0, 0.5)}, "search": "random"}, ConfigError, "ranges"),
        ({"start": {1: 0.1}}, ConfigError, "start"),
        ({"start": {"lr": 0.1, "offset": 0}}, ChartError, "ranges"),
        ({"fixed": 5}, ConfigError, "fixed"),
        ({"fixed": [None]}, ConfigError, "fixed"),
        ({"start": {**START, "dropout": 0.6}, "ranges": {"dropout": (0, 0.5)}}, ChartError, "ranges"),
        ({"choices": {"opt": "sgd"}}, ConfigError, "choices"),
        ({"choices": {"opt": ["sgd"]}}, ChartError, "choices"),
        ({"optimizer": "lion"}, ConfigError, "optimizer"),
        ({"fixed": ["lion"]}, ChartError, "fixed"),
        ({"fixed": list(START)}, ChartError, "fixed"),
        ({"search": "best"}, ConfigError, "search"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"stale_minutes": 0}, ConfigError, "stale_minutes"),
    ],
)
def test_wrong_arguments_are_refused(changes: dict[str, Any], error: Any, key: str) -> None:
    with refused(error, key):
        tuner(**changes)


def test_another_search_under_the_same_name_is_refused(tmp_path: Path) -> None:
    with tuner("study.log", tmp_path) as mine:
        mine.ask()
    with refused(StudyError, "start.lr"):
        tuner("study.log", tmp_path, start={**START, "lr": 0.2})
    with refused(StudyError, "storage.url"):
        tuner("study.log", tmp_path / "nowhere")


def test_each_rank_of_torchrun_needs_no_tuner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with refused(ConfigError, "RANK"):
        tuner()


def test_further_hyperparameters_choices_and_long_names() -> None:
    start = {"learning_rate": 0.1, "weight_decay": 5e-4, "dropout": 0.1, "layers": 2}
    ranges = {"dropout": (0, 0.5), "layers": (1, 8)}
    mine = tuner(start=start, ranges=ranges, choices={"opt": ["sgd", "adamw"]}, fixed=["weight_decay"])
    settings = []
    for number in range(15):
        asked = mine.ask()
        settings.append(asked.settings)
        mine.tell(
            asked.run, 90 - abs(asked.settings["dropout"] - 0.3) + (asked.settings["opt"] == "adamw") + number % 2
        )
    assert settings[0] == {**start, "opt": "sgd"}
    assert {one["weight_decay"] for one in settings} == {5e-4}
    assert all(0 <= one["dropout"] <= 0.5 and one["layers"] in range(1, 9) for one in settings)
    assert all(isinstance(one["layers"], int) for one in settings)
    for name in ("learning_rate", "dropout", "layers", "opt"):
        assert len({one[name] for one in settings}) > 1


@pytest.mark.parametrize("search", ["random", "tpe", "myrtle"])
def test_other_searches_can_be_asked_too(search: str) -> None:
    mine = tuner(search=search)
    for _ in range(4):
        asked = mine.ask()
        assert asked.expected is None
        mine.tell(asked.run, hill(asked.settings))
    assert mine.best_expected is not None


@pytest.mark.slow
def test_shells_ask_and_tell(workplace: Path, command: Command) -> None:
    assert command("tune", *told_nothing(workplace), "budget=6", "study=mine").code == 0
    asked = json.loads(command("ask", "mine", "--json").out)
    assert set(asked) == {
        "study", "run", "settings", "seed", "replicate", "reason", "expected", "interval",
        "best_observed", "best_expected",
    }  # fmt: skip
    assert set(asked["best_observed"]) == set(asked["best_expected"]) == {"run", "settings", "value", "interval"}
    assert (asked["study"], asked["run"], set(asked["settings"])) == ("mine", 7, set(START))
    assert asked["interval"][0] < asked["expected"] < asked["interval"][1]
    second = command("ask", "mine")
    assert second.out.startswith("run 8 of study mine: lr=")
    assert second.out.splitlines()[-1] == "then: flatdirs tell mine 8 VALUE"
    (elsewhere := workplace / "elsewhere").mkdir()
    (elsewhere / "s.log").write_bytes((workplace / "studies/mine/journal.log").read_bytes())
    third = command("ask", "storage.url=elsewhere/s.log")
    assert third.out.splitlines()[-1] == "then: flatdirs tell mine 9 VALUE storage.url=elsewhere/s.log"
    told = command("tell", "mine", "8", "-3e-1")
    assert told.code == 0
    assert "best observed" in told.out
    assert "best expected" in told.out
    stored = json.loads(command("tell", "7", "diverged", "--json").out)
    assert set(stored) == {"study", "run", "best_observed", "best_expected"}
    shown = command("status", "mine").out
    assert "run   7" in shown
    assert "run   8" in shown
    for words, key in (
        (("mine", "8", "1.0"), "run"),
        (("mine", "99", "1.0"), "run"),
        (("mine", "9", "good"), "value"),
        (("mine", "9"), "run"),
        (("nothing", "9", "1.0"), "study"),
        (("mine", "9", "1.0", "2.0"), "2.0"),
    ):
        refusal = command("tell", *words)
        assert refusal.code == 2
        assert key in refusal.err
    assert command("tune", "mine", "--json").code == 2


@pytest.mark.slow
def test_an_asked_run_blocks_neither_a_search_nor_its_confirmation(workplace: Path, command: Command) -> None:
    words = [*told_nothing(workplace), "study=mine", "confirm=4"]
    assert command("tune", *words, "budget=4", "confirm=0").code == 0
    asked = json.loads(command("ask", "mine", "--json").out)
    ended = command("tune", *words, "budget=7")
    assert ended.code == 0
    assert "confirmed" in ended.out
    assert command("tell", "mine", str(asked["run"]), "90").code == 0
    assert "other workers" not in ended.out


@pytest.mark.slow
def test_ask_in_a_shell_leaves_nothing_behind_but_the_study(tmp_path: Path) -> None:
    """A process of its own ends at once, and its run stays pending."""
    with tuner("study.log", tmp_path) as mine:
        mine.ask()
    words = [sys.executable, "-m", "flatdirs", "ask", f"storage.url={tmp_path / 'study.log'}", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    asked = json.loads(done.stdout)
    with tuner("study.log", tmp_path) as mine:
        assert mine.pending == [1, 2]
        mine.tell(asked["run"], 5.0)
        assert mine.ask().settings != asked["settings"]
    assert [trial.state.name for trial in mine.study.trials()] == ["RUNNING", "COMPLETE", "RUNNING"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.log"]
