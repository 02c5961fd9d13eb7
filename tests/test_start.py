"""`start=auto`, the start of a search that was told nothing: found, kept, overridden, and done without."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import PROBES, read_study
from flatdirs.backend.trials import IDENTITY
from flatdirs.tuning.cdat_start import STEP_PRICE
from flatdirs.tuning.start import AUTO_MOMENTUM, MOST_DECAY, PEAK_RATIO, TIMESCALE, automatic_start
from tests.conftest import Ended, calls, module_of, spawn

Command = Callable[..., Ended]
QUICK = ("task.width=4", "task.epochs=2", "confirm=0", "live=false", "precision=fp32")
STEPS = 36  # of a run: 2 epochs of 300 images, 16 at a time
ADAMW = ("chart=adamw", "optimizer=adamw")


def identity(study: str = "digits-flatdirs") -> dict[str, Any]:
    """What a study under ./studies was made with."""
    return read_study(open_storage("journal", Path("studies") / study), study)[1]


def start_of(study: str = "digits-flatdirs") -> dict[str, float]:
    """Where it began."""
    return dict(identity(study)["start"])


def probes(out: str) -> int:
    """How many times step sampling was begun."""
    return out.count("probes of 20 steps before the first run")


def function(folder: Path) -> list[str]:
    """The overrides that tune the hill of `workplace`, with nothing said about the start."""
    return ["task=callable", f"task.function={module_of(folder)}:train", "confirm=0", "live=false", "budget=1"]


def test_the_rule_has_two_digits_and_the_schedules_ratio() -> None:
    start = automatic_start(0.0534, 2000, "momentum")
    assert start == {"lr": 0.096, "momentum": AUTO_MOMENTUM, "wd": start["wd"]}
    product = 2000 * start["lr"] * start["wd"] / (1 - AUTO_MOMENTUM)
    assert product == pytest.approx(TIMESCALE, rel=0.05)
    assert automatic_start(0.0534, 2000, "momentum", constant=True)["lr"] == 0.053
    adamw = automatic_start(0.002, 2000, "beta1")
    assert adamw["beta1"] == AUTO_MOMENTUM
    assert 2000 * adamw["lr"] * adamw["wd"] == pytest.approx(TIMESCALE, rel=0.05)
    assert automatic_start(0.0534, 20, "momentum")["wd"] == MOST_DECAY["momentum"], "a run of a few steps"


@pytest.mark.slow
def test_a_start_from_the_edge_is_kept_with_its_warm_up(workplace: Path, command: Command) -> None:
    """A rate and, where the schedule leaves it open, a warm-up; the same command later finds both again."""
    ended = command("tune", *QUICK, "start=cdat", "budget=1")
    assert ended.code == 0, ended.err
    told = re.search(r"learning rate is (\S+), with a warm-up of (\S+) epochs.* as much as (\S+) runs", ended.out)
    assert told
    first = identity()
    assert first["start"] == {"lr": float(told[1]), "momentum": 0.9, "wd": 0.0005}
    assert first["schedule"]["warmup_epochs"] == float(told[2]) > 0
    assert float(told[3]) == pytest.approx(STEP_PRICE), "sixty steps, cut at the run's own 36, each that much dearer"
    again = command("tune", *QUICK, "start=cdat", "budget=1")
    assert "found when the study began" in again.out
    assert identity() == first
    fixed = command("tune", *QUICK, "start=cdat", "schedule.warmup_epochs=0.5", "study=fixed", "budget=1")
    assert fixed.code == 0, fixed.err
    assert identity("fixed")["schedule"]["warmup_epochs"] == 0.5


def test_a_start_from_the_edge_wants_a_search_that_begins_somewhere(workplace: Path, command: Command) -> None:
    ended = command("tune", *QUICK, "start=cdat", "search=random", "budget=1")
    assert ended.code == 2
    assert "start.lr=cdat would probe for nothing" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize("chart", ["sgd", "sgd_plain", "sgd_batch", "adamw"])
def test_a_search_told_nothing_begins_where_the_rule_says(chart: str, workplace: Path, command: Command) -> None:
    told = [*QUICK, *(ADAMW if chart == "adamw" else [f"chart={chart}"])]
    ended = command("tune", *told, "budget=1")
    assert ended.code == 0, ended.err
    found = re.search(
        r"start=auto: a constant rate of (\S+) × 1.8 .* make the start (.*); it cost as much as", ended.out
    )
    assert found
    start = start_of()
    assert found.group(2) == " ".join(f"{name}={value!r}" for name, value in start.items())
    name = "beta1" if chart == "adamw" else "momentum"
    batch = {"batch_size": 16} if chart == "sgd_batch" else {}
    assert start == {**automatic_start(start["lr"] / PEAK_RATIO, STEPS, name), **batch}
    assert start["lr"] == pytest.approx(PEAK_RATIO * float(found.group(1)), rel=0.06)
    again = command("tune", *told, "budget=2")
    assert again.code == 0, again.err
    assert probes(again.out) == 0
    assert "found when the study began" in again.out
    assert "continuing after 1 runs" in again.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "probed"),
    [
        ({"wd": 0.001}, True),
        ({"momentum": 0.95}, True),
        ({"lr": 0.05}, False),
        ({"lr": 0.05, "wd": 0.001}, False),
        ({"wd": 0.001, "momentum": 0.5}, True),
    ],
)
def test_what_the_user_gives_stays(given: dict[str, float], probed: bool, workplace: Path, command: Command) -> None:
    told = [f"start.{key}={value}" for key, value in given.items()]
    ended = command("tune", *QUICK, "budget=1", "fixed=[wd]", *told)
    assert ended.code == 0, ended.err
    assert probes(ended.out) == probed
    start = start_of()
    assert given.items() <= start.items()
    assert start["momentum"] == given.get("momentum", AUTO_MOMENTUM)
    if "wd" not in given:
        ruled = TIMESCALE * (1 - start["momentum"]) / (STEPS * start["lr"])
        assert start["wd"] == pytest.approx(min(MOST_DECAY["momentum"], ruled), rel=0.06)


@pytest.mark.slow
def test_the_probes_are_made_at_the_given_momentum(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flatdirs.tuning import probing

    seen = []
    probe = probing.probe_task
    monkeypatch.setattr(probing, "probe_task", lambda config, *a, **k: seen.append(config) or probe(config, *a, **k))
    assert command("tune", *QUICK, "budget=1", "start.momentum=0.95").code == 0
    assert command("tune", *QUICK, "budget=1", "study=other", "start.wd=0.001").code == 0
    assert [(config.momentum, config.wd) for config in seen] == [(0.95, 5e-4), (0.9, 0.001)]


@pytest.mark.slow
def test_a_rate_per_images_is_scaled_before_the_rule(workplace: Path, command: Command) -> None:
    assert command("tune", *QUICK, "budget=1", "optimizer.rate_per_images=512").code == 0
    start = start_of()
    product = STEPS * start["lr"] * 16 / 512 * start["wd"] / (1 - start["momentum"])
    assert product == pytest.approx(TIMESCALE, rel=0.06)


@pytest.mark.slow
def test_a_function_begins_as_many_scripts_do(workplace: Path, command: Command) -> None:
    ended = command("tune", *function(workplace))
    assert ended.code == 0
    sentence = "start=auto: task=callable has no model to probe; the search begins as many scripts do, at "
    assert ended.out.startswith(f"{sentence}lr=0.1 momentum=0.9 wd=0.0005\n")
    assert calls(workplace) == ["0.1 0.9 0.0005 0"]
    ended = command("tune", *function(workplace), "study=own", "start.lr=0.3")
    assert f"{sentence}lr=0.3 momentum=0.9 wd=0.0005\n" in ended.out
    ended = command("tune", *function(workplace), "study=told", "start.lr=0.3", "start.wd=0.01")
    assert "start=auto" not in ended.out


@pytest.mark.slow
def test_a_function_on_adamws_chart_begins_as_adamw_does(workplace: Path, command: Command) -> None:
    (workplace / f"{module_of(workplace)}_adamw.py").write_text(
        "def train(lr, wd, beta1): return 1 - lr\n", encoding="utf-8"
    )
    told = [*function(workplace), f"task.function={module_of(workplace)}_adamw:train", "chart=adamw"]
    assert "at lr=0.001 wd=0.01 beta1=0.9\n" in command("tune", *told).out


@pytest.mark.slow
@pytest.mark.parametrize("search", ["random", "tpe", "qmc"])
def test_searches_that_begin_nowhere_are_not_told_where(search: str, workplace: Path, command: Command) -> None:
    ended = command("tune", *QUICK, "budget=1", f"search={search}")
    assert ended.code == 0
    assert "start=auto" not in ended.out
    assert start_of(f"digits-{search}") == {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
    assert "start=auto" not in command("tune", *function(workplace), f"search={search}").out


@pytest.mark.slow
def test_where_nothing_is_found_the_search_begins_all_the_same(workplace: Path, command: Command) -> None:
    told = [*QUICK, "start.wd=1e30"]
    ended = command("tune", *told, "budget=1")
    assert ended.code == 0, ended.err
    assert "start=auto: step sampling found no rate to start from: " in ended.out
    assert "; the search begins as many scripts do, at lr=0.1 momentum=0.9 wd=1e+30\n" in ended.out
    again = command("tune", *told, "budget=2")
    assert again.code == 0
    assert probes(again.out) == 0


@pytest.mark.slow
def test_other_settings_before_the_first_run_are_probed_anew(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flatdirs.backend.study import Study

    with monkeypatch.context() as patch:
        patch.setattr(Study, "ask", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command("tune", *QUICK, "budget=1").code == 130
    assert probes(command("tune", *QUICK, "budget=1", "task.epochs=1").out) == 1
    assert identity()["task"]["epochs"] == 1


@pytest.mark.slow
def test_a_study_with_numbers_is_not_begun_again(workplace: Path, command: Command) -> None:
    assert command("tune", *QUICK, "budget=1", "start=source").code == 0
    ended = command("tune", *QUICK, "budget=2")
    assert ended.code == 2
    assert "study digits-flatdirs was made with start.lr=0.001, not auto" in ended.err
    assert probes(ended.out) == 0


@pytest.mark.slow
def test_the_probes_are_kept_before_the_study_says_how_it_began(workplace: Path, command: Command) -> None:
    """Another worker that finds a start but no probes would take it for a number's."""
    assert command("tune", *QUICK, "budget=1").code == 0
    lines = [json.loads(line) for line in Path("studies/digits-flatdirs/journal.log").read_text().splitlines()]
    written = [key for line in lines for key in line.get("user_attr", {})]
    assert written.index(PROBES) < written.index(IDENTITY)


@pytest.mark.slow
def test_a_worker_takes_what_another_found_while_it_probed(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flatdirs.tuning import start as starting

    kept = starting._kept

    def overtaken(config: Any, word: str, record: dict[str, Any]) -> dict[str, Any]:
        kept(config, word, {**record, "start": 0.123})
        return kept(config, word, record)

    monkeypatch.setattr(starting, "_kept", overtaken)
    ended = command("tune", *QUICK, "budget=2")
    assert ended.code == 0, ended.err
    assert "start lr=0.123 " in ended.out
    assert start_of()["lr"] == 0.123


@pytest.mark.slow
def test_two_at_once_agree(workplace: Path) -> None:
    both = [spawn("flatdirs.tune", *QUICK, "task.epochs=4", "budget=4", cwd=workplace) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    study = read_study(open_storage("journal", workplace / "studies/digits-flatdirs"), "digits-flatdirs")[0]
    points = [str(trial.user_attrs["setting"]["hyperparameters"]) for trial in study.trials]
    assert len(points) == len(set(points))
    assert 4 <= len(points) <= 5


@pytest.mark.slow
def test_helpers_probe_nothing_and_the_winner_is_a_start(workplace: Path, command: Command) -> None:
    ended = command("tune", *QUICK, "budget=3", "workers=2")
    assert ended.code == 0, ended.err
    assert probes(ended.out) == 1
    assert "helper ended" not in ended.out
    line = re.search(r"start from it: python -m flatdirs.tune (.*)", ended.out)
    assert line
    again = command("tune", *shlex.split(line.group(1)), *QUICK, "budget=1")
    assert again.code == 0
    assert "start=auto" not in again.out
    best = yaml.safe_load(Path("studies/digits-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert start_of("another") == {key: best[key] for key in ("lr", "momentum", "wd")}
