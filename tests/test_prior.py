"""`prior=STUDY`: a search that begins from an earlier one, by the Python function, the commands and our trainer."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import flatdirs
from flatdirs.backend.locate import existing_study
from flatdirs.backend.study import read_study
from flatdirs.errors import ConfigError, FlatdirsError, StudyError
from tests.conftest import Ended, calls, printed_command, told_nothing
from tests.refused import refused
from tests.scripts import python

Command = Callable[..., Ended]
POOR = {"lr": 0.002, "wd": 1e-5}
STORAGES = ("runs.log", "sqlite:///runs.db")
TRAINER = ["task.train_images=800", "task.validation_images=400", "task.test_images=200", "task.epochs=1",
           "confirm=0", "live=false"]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def height(lr: float, wd: float, top: float = 4e-3) -> float:
    """A hill in lr·wd and wd, 0 at its top."""
    return -(math.log2(lr * wd / top) ** 2) - 0.3 * math.log2(wd / 5e-3) ** 2


def earlier(lr: float, wd: float, seed: int) -> float:
    return 94 + height(lr, wd) + random.Random(seed).gauss(0, 0.1)


def loss(lr: float, wd: float, seed: int) -> float:
    return -height(lr, wd) + random.Random(seed).gauss(0, 0.1)


def diverging(lr: float, wd: float, seed: int) -> float:
    return math.nan


def later(lr: float, wd: float, seed: int) -> float:
    """Another task: a lower hill, one octave further up."""
    return 40 + height(lr, wd, 8e-3) + random.Random(seed + 100).gauss(0, 0.1)


def tune(function: Callable[..., float], budget: int, **told: Any) -> flatdirs.SearchResult:
    usual: dict[str, Any] = {"direction": "maximize", "confirm": 0, "progress": False, "storage": STORAGES[0]}
    return flatdirs.tune(function, POOR, budget=budget, **{**usual, **told})


def good_from(result: flatdirs.SearchResult) -> float:
    """The number of the first run within one of the later hill's top."""
    found = (one.run for one in result.tuned if height(**one.settings, top=8e-3) > -1)
    return next(found, math.inf)


def identity_of(study: str, storage: str = STORAGES[0]) -> dict[str, Any]:
    with existing_study("url", storage, Path("studies"), study) as (opened, name):
        return read_study(opened, name)[1]


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGES)
def test_an_earlier_study_shows_the_way_and_may_then_go(storage: str) -> None:
    made = tune(earlier, 12, storage=storage)
    begin = partial(tune, later, storage=storage, prior="earlier")
    found = begin(6)
    assert found.tuned[0].settings == POOR, "a start that is told stays"
    assert found.tuned[1].settings == made.best
    assert good_from(found) < good_from(tune(later, 12, storage=storage, study="alone"))
    told = identity_of("later", storage)["search"]["earlier"]
    assert [one["value"] for one in told] == [one.value for one in made.tuned]
    assert [one["hyperparameters"] for one in told] == [one.settings for one in made.tuned]
    tune(earlier, 13, storage=storage)
    assert [one.settings for one in begin(7).tuned[:6]] == [one.settings for one in found.tuned]
    with existing_study("url", storage, Path("studies"), "earlier", reading=False) as (opened, name):
        optuna.delete_study(study_name=name, storage=opened)
    assert len(begin(8).tuned) == 8
    assert identity_of("later", storage)["search"]["earlier"] == told


def test_values_count_in_the_direction_of_their_study_and_diverged_runs_do_not() -> None:
    seen: list[int] = []

    def sometimes(lr: float, wd: float, seed: int) -> float:
        seen.append(seed)
        return math.nan if len(seen) == 2 else loss(lr, wd, seed)

    made = tune(sometimes, 5, direction="minimize", study="losses")
    tune(later, 1, prior="losses")
    told = [one["value"] for one in identity_of("later")["search"]["earlier"]]
    assert told == [-one.value for one in made.tuned if one.value is not None]
    assert len(told) == 4


def test_what_is_known_already_or_cannot_be_used_is_refused() -> None:
    tune(earlier, 3)
    tune(earlier, 1, study="short")
    tune(diverging, 2)
    tune(later, 1, study="begun")
    tune(later, 1, study="from", prior="earlier")
    cases: list[tuple[type[FlatdirsError], Mapping[str, Any], str]] = [
        (StudyError, {"prior": "nowhere"}, "earlier"),
        (StudyError, {"prior": "studies/nowhere"}, "nowhere"),
        (StudyError, {"prior": "diverging"}, "finished"),
        (ConfigError, {"prior": "short"}, "1 run"),
        (ConfigError, {"prior": "later"}, "itself"),
        (ConfigError, {"prior": "earlier", "search": "tpe"}, "search=flatdirs"),
        (StudyError, {"prior": "short", "study": "from"}, "prior=earlier"),
        (StudyError, {"study": "from"}, "prior=earlier"),
        (StudyError, {"prior": "earlier", "study": "begun"}, "prior=nothing"),
    ]
    for kind, told, word in cases:
        with refused(kind, "prior", word):
            tune(later, 2, **told)
    with refused(ConfigError, "prior", "none of dropout"):
        flatdirs.tune(
            lambda dropout, seed: dropout, {"dropout": 0.1}, ranges={"dropout": (0, 0.5)}, direction="maximize",
            storage=STORAGES[0], study="other", prior="earlier", progress=False,
        )  # fmt: skip


def test_a_study_in_another_file_or_folder_serves_too() -> None:
    made = tune(earlier, 3)
    found = tune(later, 2, storage=None, prior="./runs.log", study="one")
    assert found.tuned[1].settings == made.best


@pytest.mark.slow
def test_a_command_begins_where_the_earlier_study_ended(workplace: Path, command: Command) -> None:
    words = told_nothing(workplace)
    assert command("tune", *words, "budget=10", "study=first").code == 0
    first = yaml.safe_load(Path("studies/first/best.yaml").read_text(encoding="utf-8"))
    handed_over = {name: first[name] for name in ("lr", "momentum", "wd")}
    before = len(calls(workplace))
    ended = command("tune", *words, "budget=4", "study=second", "prior=studies/first", "workers=2")
    assert ended.code == 0, ended.err
    assert "a worker ended" not in ended.out
    (line,) = [one for one in ended.out.splitlines() if one.startswith("prior=first: 10 runs of study first")]
    assert "taken as they are" in line
    second = [one.rsplit(" ", 1)[0] for one in calls(workplace)[before:]]
    assert " ".join(repr(handed_over[name]) for name in ("lr", "momentum", "wd")) in second
    assert len(second) == 4
    shutil.rmtree("studies/first")
    assert command("tune", *words, "budget=5", "study=second", "prior=first").code == 0
    assert len(calls(workplace)) == before + 5
    told = "prior: 10 runs of study first"
    assert told in command("status", "study=second").out.splitlines()
    assert told in command("analyze", "study=second").out
    assert f"# {told}" in Path("studies/second/best.yaml").read_text(encoding="utf-8").splitlines()
    assert "prior=first" in printed_command(ended.out, "start from it")
    for more, key in (([], "prior"), (["prior=first", "start.lr=0.7"], "start.lr")):
        refusal = command("tune", *words, "budget=5", "study=second", *more)
        assert refusal.code == 2
        assert f" {key}=" in refusal.err
    assert command("tune", *words, "study=third", "prior=second", "start=auto").code == 2


def test_values_of_the_start_that_are_told_stay(workplace: Path, command: Command) -> None:
    words = told_nothing(workplace)
    command("tune", *words, "budget=8", "study=first")
    first = yaml.safe_load(Path("studies/first/best.yaml").read_text(encoding="utf-8"))
    before = len(calls(workplace))
    command("tune", *words, "budget=2", "study=second", "prior=first", "start.momentum=0.97")
    start, second = ([float(number) for number in one.split()[:3]] for one in calls(workplace)[before:])
    assert start == [first["lr"], 0.97, first["wd"]]
    assert second == [first["lr"], first["momentum"], first["wd"]]


@pytest.mark.slow
def test_the_numbers_of_a_command_are_its_start(tmp_path: Path, command: Command) -> None:
    words = python(tmp_path, "import math; print('val_acc:', 90 - math.log2(lr / 0.4) ** 2)")
    command("tune", "budget=6", "confirm=0", "study=first", "metric=val_acc", "--", *words, "--lr", "0.05")
    first = yaml.safe_load(Path("studies/first/best.yaml").read_text(encoding="utf-8"))
    usual = ["budget=2", "confirm=0", "study=second", "metric=val_acc", "prior=first"]
    ended = command("tune", *usual, "--", *words, "--lr", "0.01")
    assert ended.code == 0, ended.err
    runs = [one for one in ended.out.splitlines() if one.startswith("run  ")]
    assert [f"lr={value!r} " in f"{one} " for value, one in zip((0.01, first["lr"]), runs, strict=True)] == [True, True]


def start_of(study: str) -> dict[str, Any]:
    with existing_study("journal", None, Path("studies"), study) as (storage, name):
        found: dict[str, Any] = read_study(storage, name)[1]["start"]
        return found


@pytest.mark.slow
def test_runs_of_the_trainer_are_carried_over_to_another_setup(command: Command) -> None:
    assert command("tune", *TRAINER, "budget=3", "study=first", "start=typical", "task.batch_size=16").code == 0
    first = yaml.safe_load(Path("studies/first/best.yaml").read_text(encoding="utf-8"))
    handed_over = {name: first[name] for name in ("lr", "momentum", "wd")}
    longer = ["task.batch_size=64", "task.epochs=2"]
    ended = command("tune", *TRAINER, *longer, "budget=1", "study=second", "prior=first")
    assert ended.code == 0, ended.err
    assert "batch_size=64 epochs=2 (lr by " in ended.out
    before = {"optimizer": "sgd", "batch_size": 16, "epochs": 1, "examples": 800}
    wanted = flatdirs.carry_over(handed_over, before, {"batch_size": 64, "epochs": 2}).setting
    assert start_of("second") == pytest.approx(wanted, rel=1e-3)
    command("tune", *TRAINER, "budget=1", "study=searched", "prior=first", "chart=sgd_batch", "task.batch_size=64")
    assert start_of("searched") == {**handed_over, "batch_size": 16}
    scaled = ["optimizer.rate_per_images=8", "task.batch_size=16"]
    command("tune", *TRAINER, *scaled, "budget=1", "study=scaled", "prior=first")
    assert start_of("scaled")["lr"] == pytest.approx(handed_over["lr"] / 2)
    without = command("tune", *TRAINER, *longer, "study=second")
    assert without.code == 2
    assert " prior=first" in without.err
    refusal = command("tune", *TRAINER, "optimizer=adamw", "study=other", "prior=first")
    assert refusal.code == 2
    assert "prior=first" in refusal.err
    assert "no rule is known" in refusal.err
