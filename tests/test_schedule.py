"""Schedules: closed forms, equality with torch's, and wrong settings."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from flatdirs.config.tune import read_schedule
from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder
from flatdirs.setting_checks import describe
from flatdirs.training.schedule import (
    SCHEDULES,
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseSquareRoot,
    Schedule,
    Step,
    Triangle,
    Wsd,
    triangle,
)
from flatdirs.training.self_tuning import TUNERS
from tests.refused import refused

EPOCHS, STEPS = 12, 7  # of a run, and per epoch
FILES = sorted((conf_folder() / "schedule").glob("*.yaml"))


def multipliers(schedule: Schedule, epochs: int = EPOCHS, steps: int = STEPS) -> list[float]:
    """The multiplier of every step of a run."""
    return [schedule.multiplier(step, epochs * steps, steps) for step in range(epochs * steps)]


def stepped(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], total: int) -> Iterator[float]:
    """The rates of an optimizer of rate 1 whose torch scheduler is stepped once per iteration."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SequentialLR's own call of a scheduler's step(epoch)
        scheduler = make(optimizer)
        for _ in range(total):
            yield optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_schedule_with_documented_keys(file: Any) -> None:
    lines, settings = file.read_text(encoding="utf-8").splitlines(), yaml.safe_load(file.read_text(encoding="utf-8"))
    schedule = read_schedule(settings)
    assert schedule == {**SCHEDULES, **TUNERS}[file.stem](), "the file has the defaults of the class"
    assert describe(schedule) == settings
    assert lines[0].startswith("# ")
    assert all("  # " in line for line in lines[1:])
    for epochs in (1, 6, 12, 20, 24):
        schedule.check(epochs)
        assert schedule.returned_epoch(epochs) == epochs, "the runs of conf/task return their last epoch"
    assert {file.stem for file in FILES} == {*SCHEDULES, *TUNERS}


MANY = [
    *(kind() for kind in SCHEDULES.values()),
    *(kind(warmup_epochs=3) for kind in SCHEDULES.values()),
    Triangle(warmup_epochs=12),
    CosineRestarts(0, (2, 3), ((1.0, 0.5), (0.5, 0.1))),
    Cosine(2.5, 0.1),
    Step(1.7, (2.3, 11.9), 0.5),
]


@pytest.mark.parametrize("schedule", MANY, ids=str)
def test_every_schedule_stays_between_zero_and_one_and_is_never_zero(schedule: Schedule) -> None:
    schedule.check(EPOCHS)
    values = multipliers(schedule)
    assert all(0.0 < value <= 1.0 for value in values)
    rising = schedule.warmup(EPOCHS) * STEPS
    for step in range(int(rising)):
        assert values[step] == pytest.approx((step + 0.5) / rising)


@given(total=st.integers(2, 3000), warmup=st.floats(0.0, 1.0))
def test_the_triangle_stays_positive_and_has_half_the_area(total: int, warmup: float) -> None:
    values = [triangle(step, total, warmup) for step in range(total)]
    assert all(0.0 < value <= 1.0 for value in values)
    assert abs(sum(values) - total / 2) <= 0.5
    rising = round(warmup * total)
    assert values[:rising] == sorted(values[:rising])
    assert values[rising:] == sorted(values[rising:], reverse=True)


def test_the_triangle_at_known_steps() -> None:
    assert triangle(0, 24) == pytest.approx(0.1)  # half a step into five steps of rise
    assert triangle(4, 24) == pytest.approx(0.9)
    assert triangle(5, 24) == pytest.approx(18.5 / 19)
    assert triangle(23, 24) == pytest.approx(0.5 / 19)
    assert triangle(-1, 24) == triangle(24, 24) == 0.0


def test_the_default_triangle_warms_up_over_five_of_24_epochs() -> None:
    for epochs, steps in ((24, 97), (20, 18), (6, 312), (1, 1)):
        total = epochs * steps
        assert multipliers(Triangle(), epochs, steps) == [triangle(step, total, 5 / 24) for step in range(total)]
    assert Triangle().warmup(24) == 5.0
    assert multipliers(Triangle(warmup_epochs=5), 24, 97) == multipliers(Triangle(), 24, 97)


TOTAL = EPOCHS * STEPS
LIKE_TORCH: dict[str, tuple[Schedule, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]]] = {
    "constant": (Constant(), lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0)),
    "cosine": (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL)),
    "cosine to a tenth": (Cosine(final=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1)),
    "equal restarts": (
        CosineRestarts(phases=(3,)),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3 * STEPS),
    ),
    "doubling restarts": (
        CosineRestarts(phases=(1, 2, 4, 8), ranges=((1.0, 0.05),)),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, STEPS, T_mult=2, eta_min=0.05),
    ),
    "step": (Step(milestones=(4, 9)), lambda o: lr_scheduler.MultiStepLR(o, [4 * STEPS, 9 * STEPS])),
    "step at half": (Step(factor=0.3), lambda o: lr_scheduler.MultiStepLR(o, [TOTAL // 2, TOTAL * 3 // 4], 0.3)),
    "wsd": (
        Wsd(decay=0.25),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.ConstantLR(o, 1.0), lr_scheduler.LinearLR(o, 1.0, 0.0, TOTAL // 4)], [TOTAL * 3 // 4]
        ),
    ),
    "exponential": (Exponential(), lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / TOTAL))),
    "inverse_sqrt": (InverseSquareRoot(), lambda o: lr_scheduler.LambdaLR(o, lambda step: (step + 1) ** -0.5)),
}


@pytest.mark.parametrize("case", LIKE_TORCH)
def test_torchs_scheduler_stepped_once_per_iteration_gives_the_same_rates(case: str) -> None:
    schedule, theirs = LIKE_TORCH[case]
    assert multipliers(schedule) == pytest.approx(list(stepped(theirs, TOTAL)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", ["constant", "cosine", "equal restarts", "exponential"])
@pytest.mark.parametrize("warmup", [1, 3])
def test_a_warmup_is_torchs_linear_one_in_front(case: str, warmup: int) -> None:
    rising, left = warmup * STEPS, (EPOCHS - warmup) * STEPS
    after: dict[str, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]] = {
        "constant": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0),
        "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, left),
        "equal restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3 * STEPS),
        "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / left)),
    }

    def theirs(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        first, last = 0.5 / rising, (rising - 0.5) / rising  # the middles of the first and the last step
        warm = lr_scheduler.LinearLR(optimizer, first, last, rising - 1)
        return lr_scheduler.SequentialLR(optimizer, [warm, after[case](optimizer)], [rising])

    schedule = dataclasses.replace(LIKE_TORCH[case][0], warmup_epochs=warmup)
    assert multipliers(schedule) == pytest.approx(list(stepped(theirs, TOTAL)), rel=1e-9, abs=1e-12)


def test_restarts_differ_in_length_and_range_and_the_last_comes_again() -> None:
    schedule = CosineRestarts(1, (1, 3), ((1.0, 0.4), (0.6, 0.2)))
    values = multipliers(schedule, 10, 4)
    half = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    third = [(1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    first, second = [0.4 + 0.6 * x for x in half], [0.2 + 0.4 * x for x in third]
    assert values[:4] == [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert values[4:] == pytest.approx([*first, *second, *second, *second[:8]])


@given(
    phases=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    warmup=st.integers(0, 3),
    epochs=st.integers(1, 40),
)
def test_a_run_returns_the_end_of_its_last_finished_phase(phases: list[int], warmup: int, epochs: int) -> None:
    schedule = CosineRestarts(warmup, tuple(phases))
    ends = [warmup + sum(phases[:number]) for number in range(1, len(phases) + 1)]
    while ends[-1] <= epochs:
        ends.append(ends[-1] + phases[-1])
    finished = [end for end in ends if end <= epochs]
    if not finished:
        with pytest.raises(ConfigError):
            schedule.check(epochs)
        return
    schedule.check(epochs)
    assert schedule.returned_epoch(epochs) == finished[-1]
    if finished[-1] < epochs:
        assert schedule.multiplier(7 * finished[-1], 7 * epochs, 7) == 1.0, "there a new phase begins"


def test_the_inverse_square_root_begins_at_one_and_halves_over_four_times_the_warmup() -> None:
    values = multipliers(InverseSquareRoot(warmup_epochs=3))
    assert values[3 * STEPS] == 1.0
    assert values[12 * STEPS - 1] == pytest.approx(math.sqrt(3 * STEPS / (12 * STEPS - 1)))
    assert InverseSquareRoot(3).multiplier(12 * STEPS, 20 * STEPS, STEPS) == pytest.approx(0.5)


def test_milestones_may_lie_inside_an_epoch_and_count_from_the_runs_start() -> None:
    values = multipliers(Step(1, (2.5, 3.2), 0.1), 4, 10)
    assert values[10:] == pytest.approx([1.0] * 15 + [0.1] * 7 + [0.01] * 8)


WRONG = [
    (Cosine, "warmup_epochs", -1),
    (Cosine, "warmup_epochs", None),
    (Cosine, "warmup_epochs", 21),
    (Triangle, "warmup_epochs", "long"),
    (Triangle, "warmup_epochs", 20.5),
    (Cosine, "final", 1.5),
    (Exponential, "final", -0.1),
    (Exponential, "final", 0),
    (CosineRestarts, "warmup_epochs", 0.5),
    *((CosineRestarts, "phases", phases) for phases in ((2, 0), (0.5,), (), (21,))),
    *((CosineRestarts, "ranges", ranges) for ranges in (((1, -0.1),), ((0.1, 1),), (), ((1, 0),) * 4)),
    *((Wsd, "decay", part) for part in (0, 1.5, "fifth")),
    (Step, "factor", -0.1),
    (Step, "factor", 0),
    *((Step, "milestones", marks) for marks in ((5, 5), (-1,), (10, 20), ("late",))),
]


@pytest.mark.parametrize(("kind", "key", "value"), WRONG)
def test_a_wrong_setting_is_refused(kind: type[Schedule], key: str, value: object) -> None:
    with refused(ConfigError, f"schedule.{key}"):
        kind(**{key: value}).check(20)


def test_a_warmup_leaves_room() -> None:
    with refused(ConfigError, "schedule.phases"):
        CosineRestarts(warmup_epochs=19, phases=(2,)).check(20)
    with refused(ConfigError, "schedule.milestones"):
        Step(warmup_epochs=4, milestones=(3,)).check(20)
    with refused(ConfigError, "schedule.decay"):
        Wsd(warmup_epochs=2, decay=0.91).check(20)


def test_wsd_is_the_constant_rate_between_warmup_and_decay() -> None:
    values = multipliers(Wsd(warmup_epochs=2, decay=0.5))
    assert values[: TOTAL // 2 + 1] == multipliers(Constant(warmup_epochs=2))[: TOTAL // 2 + 1]
    assert values[TOTAL // 2 :] == pytest.approx([1 - step / (TOTAL // 2) for step in range(TOTAL // 2)])
