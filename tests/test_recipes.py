"""Schedules and optimizers as a user chooses them: trained, tuned, kept, given back, and refused with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import read_study
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import PROVENANCE
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.schedule import CosineRestarts
from flatdirs.training.task import DataConfig
from tests.conftest import Ended, own_function, printed_command
from tests.test_training_parts import image_task

pytestmark = pytest.mark.slow  # every test runs whole searches

Command = Callable[..., Ended]
TINY = ["task.epochs=3", "task.train_images=200", "task.width=4", "confirm=0", "live=false", "precision=fp32"]
SHORT = [*TINY, "start=myrtle"]
RECIPES = {
    "cosine": ["schedule=cosine", "schedule.warmup_epochs=1.5", "schedule.final=0.1"],
    "restarts": ["schedule=cosine_restarts", "schedule.phases=[1,1,9]", "schedule.ranges=[[1,0.1],[0.5,0]]"],
    "step": ["schedule=step", "schedule.milestones=[1,2.5]", "schedule.factor=0.3"],
    "exponential, heavy ball": ["schedule=exponential", "optimizer.nesterov=false", "optimizer.no_decay=true"],
    "inverse_sqrt, adamw": ["schedule=inverse_sqrt", "schedule.warmup_epochs=1", "optimizer=adamw", "chart=adamw"],
    "constant, rate per 512": ["schedule=constant", "optimizer.rate_per_images=512", "start.lr=3"],
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_winner_of_a_recipe_trains_again_from_file_and_line(recipe: str, workplace: Path, command: Command) -> None:
    ended = command("tune", *SHORT, "start.lr=0.05", *RECIPES[recipe], "budget=2")
    assert ended.code == 0, ended.err
    found = re.search(r"best: run \d of 2, ([\d.]+)%", ended.out)
    assert found
    for label in ("train with it", "or"):
        arguments = printed_command(ended.out, label)
        again = command(*arguments)
        assert f"accuracy {found.group(1)}%" in again.out, arguments


def test_the_next_search_has_the_winners_task_chart_schedule_and_optimizer(workplace: Path, command: Command) -> None:
    ended = command("tune", *SHORT, *RECIPES["inverse_sqrt, adamw"], "optimizer.beta2=0.95", "search=raw", "budget=1")
    assert command(*printed_command(ended.out, "start from it")).code == 0
    first, second = (_identity(workplace, name) for name in ("digits-raw", "digits-raw-2"))
    for group in ("task", "schedule", "optimizer"):
        assert first[group] == second[group]
    assert first["chart"]["hyperparameters"] == second["chart"]["hyperparameters"]


def _identity(folder: Path, study: str) -> dict[str, dict[str, object]]:
    return read_study(open_storage("journal", folder / "studies" / study), study)[1]


def test_adamw_is_tuned_along_rate_times_decay(workplace: Path, command: Command) -> None:
    ended = command("tune", *SHORT, "search=myrtle", "chart=adamw", "optimizer=adamw", "budget=30", "task.epochs=1")
    assert ended.code == 0
    assert "the search is over" in ended.out
    study, identity = read_study(open_storage("journal", workplace / "studies/digits-myrtle"), "digits-myrtle")
    assert identity["optimizer"]["name"] == "adamw"
    products: dict[float, set[float]] = {}
    for trial in study.trials:
        point = trial.user_attrs[SETTING]["hyperparameters"]
        assert set(point) == {"lr", "wd", "beta1"}
        product = point["lr"] * point["wd"]
        products.setdefault(point["wd"], set()).add(round(product, 15))
    assert len(products) > 1, "weight decay is walked"
    widest = max(products.values(), key=len)
    assert all(found <= widest for found in products.values()), "another weight decay keeps lr·wd"
    best = yaml.safe_load((workplace / "studies/digits-myrtle/best.yaml").read_text(encoding="utf-8"))
    assert "momentum" not in best
    assert best["optimizer"]["name"] == "adamw"


def test_the_batch_size_is_tuned_along_rate_over_batch(workplace: Path, command: Command) -> None:
    ended = command(
        *("tune", *TINY, "search=myrtle", "chart=sgd_batch", "start=typical", "start.batch_size=40"),
        *("fixed=[momentum,wd]", "task.epochs=1", "budget=30"),
    )
    assert ended.code == 0
    study, _ = read_study(open_storage("journal", workplace / "studies/digits-myrtle"), "digits-myrtle")
    ratios: dict[int, set[float]] = {}
    for trial in study.trials:
        point = trial.user_attrs[SETTING]["hyperparameters"]
        ratios.setdefault(point["batch_size"], set()).add(round(point["lr"] / point["batch_size"], 12))
        assert trial.user_attrs[PROVENANCE]["steps"] == 200 // point["batch_size"], "the trainer takes that batch"
    assert len(ratios) > 1, "the batch size is walked"
    widest = max(ratios.values(), key=len)
    assert all(found <= widest for found in ratios.values()), "another batch size keeps lr/batch_size"


def test_a_tuned_value_is_that_of_the_last_finished_phase() -> None:
    task = image_task(train_images=64, validation_images=100, batch_size=16, width=4, epochs=3)
    objective = ImageObjective(task, DataConfig(), "cpu", threads=1, schedule=CosineRestarts(phases=(2,)))
    seen: list[float] = []
    point = {"lr": 0.3, "momentum": 0.5, "wd": 0.01}
    measured = objective.measure(point, [0], lambda done, total, value, _: seen.append(value))
    assert len(seen) == 3
    assert measured.value == seen[1] != seen[2]
    assert measured.loss == measured.curve[1]["loss"]


def test_train_says_which_epoch_it_returns(workplace: Path, command: Command) -> None:
    restarts = ["schedule=cosine_restarts", "schedule.phases=[2]"]
    ended = command("train", "task.epochs=3", *restarts, "save=model.pt")
    assert "at the end of epoch 2" in ended.out
    accuracy = re.findall(r"^ +2 .* ([\d.]+)% ", ended.out, re.MULTILINE)
    assert f"accuracy {accuracy[0]}%" in ended.out
    assert "at the end of" not in command("train", "task.epochs=2", *restarts).out


WRONG = {
    "unknown schedule": (["schedule=linear"], "schedule=linear is unknown; choose one of cdat, constant, cosine"),
    "unknown optimizer": (["optimizer=lion"], "optimizer=lion is unknown; choose one of adamw, muon, prodigy"),
    "no schedule": (["schedule=null"], "schedule"),
    "misspelt key": (["schedule.warmup=1"], "schedule.warmup"),
    "a key of another schedule": (["+schedule.final=0.1"], "there is no key schedule.final"),
    "phase of length 0": (["schedule=cosine_restarts", "schedule.phases=[4,0]"], "schedule.phases=[4, 0]"),
    "no finished phase": (["schedule=cosine_restarts", "schedule.phases=[30]"], "schedule.phases=[30]"),
    "warm-up longer than the run": (["schedule.warmup_epochs=21"], "schedule.warmup_epochs=21"),
    "warm-up longer than a short run": (
        ["schedule=cosine", "schedule.warmup_epochs=4", "task.epochs=3"],
        "schedule.warmup_epochs=4 is longer than the run, task.epochs=3",
    ),
    "milestone beyond the run": (["schedule=step", "schedule.milestones=[30]"], "schedule.milestones=[30.0]"),
    "milestones falling": (["schedule=step", "schedule.milestones=[9,5]"], "schedule.milestones=[9.0, 5.0]"),
    "negative factor": (["schedule=step", "schedule.factor=-1"], "schedule.factor=-1"),
    "epsilon in words": (["optimizer=adamw", "optimizer.epsilon=small"], "optimizer.epsilon=small"),
    "batch larger than the data": (["task.batch_size=301"], "task.batch_size=301 must be at most"),
}
WRONG_TUNE = {
    "adamw on sgd's chart": (
        ["optimizer=adamw", "chart=sgd"],
        "optimizer=adamw has no momentum; change chart or optimizer",
    ),
    "sgd on adamw's chart": (["chart=adamw"], "optimizer=sgd has no beta1; change chart or optimizer"),
    "the rate scaled twice": (
        ["chart=sgd_batch", "optimizer.rate_per_images=512"],
        "set optimizer.rate_per_images=null",
    ),
    "start batch larger than the data": (["chart=sgd_batch", "start.batch_size=301"], "start.batch_size"),
}
WRONG_TRAIN = {
    "batch larger than the data": (["batch_size=301"], "batch_size=301 must be at most 300"),
    "beta1 of one": (["optimizer=adamw", "beta1=1"], "beta1=1 must be below 1"),
    "schedule by a file that is none": (["--config-file", "strange.yaml"], "schedule=linear is unknown"),
}
CASES = [
    *((name, *case) for name in ("tune", "train") for case in WRONG.values()),
    *(("tune", *case) for case in WRONG_TUNE.values()),
    *(("train", *case) for case in WRONG_TRAIN.values()),
]


@pytest.mark.parametrize(("name", "arguments", "words"), CASES, ids=lambda value: str(value)[:60])
def test_a_mistake_gets_one_sentence_that_names_the_key(
    name: str, arguments: list[str], words: str, workplace: Path, command: Command
) -> None:
    (workplace / "strange.yaml").write_text("schedule:\n  name: linear\n", encoding="utf-8")
    ended = command(name, *arguments)
    assert ended.code == 2
    assert ended.err.startswith("flatdirs: ")
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert not (workplace / "studies").exists()


@pytest.mark.parametrize("choice", ["schedule=cosine", "optimizer.nesterov=false", "optimizer=adamw"])
def test_a_users_own_function_has_its_own_schedule_and_optimizer(
    choice: str, workplace: Path, command: Command
) -> None:
    ended = command("tune", *own_function(workplace), choice)
    assert ended.code == 2
    assert choice.partition("=")[0].partition(".")[0] in ended.err
    assert command("tune", *own_function(workplace), "budget=1").code == 0
    assert "schedule" not in _identity(workplace, "callable-myrtle")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["schedule=cosine"], "schedule=triangle, not cosine"),
        (["schedule.warmup_epochs=1"], "schedule.warmup_epochs=nothing, not 1.0"),
        (["optimizer.nesterov=false"], "optimizer.nesterov=True, not False"),
        (["optimizer.rate_per_images=512"], "optimizer.rate_per_images=nothing, not 512"),
    ],
)
def test_another_recipe_is_another_study(change: list[str], named: str, workplace: Path, command: Command) -> None:
    assert command("tune", *SHORT, "budget=1").code == 0
    ended = command("tune", *SHORT, "budget=2", *change)
    assert ended.code == 2
    assert named in ended.err
