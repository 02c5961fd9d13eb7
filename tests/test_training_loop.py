"""Whole runs: repeatable to the bit, divergence as a result, and no side effects."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from flatdirs.errors import ConfigError
from flatdirs.training.loop import Epoch, TrainConfig, TrainResult, expected_seconds, train
from flatdirs.training.optimizer import AdamW, Sgd
from flatdirs.training.schedule import SCHEDULES, Constant, CosineRestarts, Schedule, Triangle
from flatdirs.training.task import DataConfig, ImageTask
from tests.cifar10_pack import unpacked
from tests.refused import refused
from tests.test_text import config as text_config
from tests.test_text import text_task
from tests.test_training_parts import image_task

TASKS = Path(__file__).resolve().parents[1] / "conf" / "task"


def task_file(name: str, **changes: object) -> ImageTask:
    """The task of conf/task/`name`.yaml with some keys changed."""
    return ImageTask(**{**yaml.safe_load((TASKS / f"{name}.yaml").read_text()), **changes})


def config(task: ImageTask | None = None, data: DataConfig | None = None, **changes: object) -> TrainConfig:
    """A short run on digits with some keys changed."""
    small = image_task(train_images=64, validation_images=100, batch_size=16, width=4, epochs=3, pad=1)
    keys: dict[str, object] = {"lr": 0.1, "momentum": 0.5, "wd": 0.01, "device": "cpu"}
    return TrainConfig(task=task or small, data=data or DataConfig(), **{**keys, **changes})  # type: ignore[arg-type]


def text(**changes: object) -> TrainConfig:
    """A short run on a text with some keys changed, twice as many steps long."""
    return text_config(text_task(train_characters=512, validation_characters=128, batch_size=8, epochs=3), **changes)


SHORT = pytest.mark.parametrize("short", [config, text], ids=["digits", "text"])  # a run on images, one on a text
Short = Callable[..., TrainConfig]


def measured(result: TrainResult) -> list[tuple[float, ...]]:
    """Everything of a run but its clock, nan made comparable."""
    return [
        (epoch.number, epoch.accuracy, epoch.lr, *(repr(x) for x in (epoch.train_loss, epoch.loss)))  # type: ignore[misc]
        for epoch in result.epochs
    ]


def states_equal(one: torch.nn.Module | None, other: torch.nn.Module | None) -> bool:
    """Whether two networks agree in every weight and every running statistic, to the bit."""
    assert one is not None
    assert other is not None
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
@SHORT
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_repeats_to_the_bit_and_leaves_the_process_as_it_was(short: Short, precision: str) -> None:
    def process() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
            Path.cwd(),
            sorted(Path.cwd().iterdir()),
        )

    first = train(short(precision=precision, threads=1), keep_model=True)
    torch.manual_seed(99)
    before = process()
    again = train(short(precision=precision, threads=1), keep_model=True)
    expected_seconds(short(threads=1))
    assert process() == before
    assert measured(first) == measured(again)
    assert states_equal(first.model, again.model)
    assert measured(train(short(precision=precision, threads=1, seed=1))) != measured(first)


@pytest.mark.slow
def test_digits_are_learned() -> None:
    result = train(config(task_file("digits"), lr=0.256))
    assert result.accuracy > 90
    assert not result.at_chance
    assert not result.diverged
    assert result.steps == 20 * (300 // 16)
    assert result.model is None
    assert (result.accuracy, result.loss) == (result.epochs[-1].accuracy, result.epochs[-1].loss)


@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_a_huge_rate_diverges_without_an_exception(lr: float) -> None:
    seen: list[Epoch] = []
    result = train(config(lr=lr, momentum=0.9, wd=0.0), seen.append)
    assert result.diverged
    assert (result.accuracy, result.loss, result.at_chance) == (0.0, math.inf, True)
    assert tuple(seen) == result.epochs
    assert result.steps == 4 * len(seen)


def test_a_tiny_rate_stays_at_chance() -> None:
    result = train(config(lr=1e-9))
    assert result.at_chance
    assert not result.diverged


@SHORT
def test_a_callback_can_stop_a_run_and_its_exceptions_pass_through(short: Short) -> None:
    stopped = train(short(evaluate_every=2), on_epoch=lambda epoch: epoch.number == 3)
    assert (stopped.stopped, stopped.diverged, stopped.steps, len(stopped.epochs)) == (True, False, 6, 3)
    assert stopped.returned == stopped.epochs[-1]
    assert not train(short(), on_epoch=lambda epoch: epoch.number == 3).stopped, "a complete run is not stopped"
    wild = train(short(lr=1e30), on_epoch=lambda epoch: True)
    assert (wild.diverged, wild.stopped) == (True, False)

    def fail(epoch: Epoch) -> None:
        raise KeyError(epoch.number)

    threads = torch.get_num_threads()
    with pytest.raises(KeyError):
        train(short(threads=1), fail)
    assert torch.get_num_threads() == threads


def test_steps_of_a_run() -> None:
    """The test protocol uses all training images; an incomplete last batch is dropped."""
    tuning, final = config(), config(data=DataConfig(evaluate="test"))
    assert (tuning.training_images, final.training_images) == (64, 164)
    assert train(final).steps == 3 * (164 // 16)
    assert train(tuning).steps == 3 * (64 // 16)
    assert train(config(batch_size=60)).steps == 3


def test_restarts_return_the_end_of_the_last_complete_phase() -> None:
    keys = {"schedule": CosineRestarts(phases=(1, 2, 4)), "threads": 1}
    whole, cut = (
        train(config(dataclasses.replace(config().task, epochs=epochs), **keys), keep_model=True) for epochs in (3, 5)
    )
    assert (whole.returned_epoch, len(whole.epochs)) == (3, 3)
    assert (cut.returned_epoch, len(cut.epochs), cut.steps) == (3, 5, 5 * 4), "the run goes on to its last epoch"
    assert measured(cut)[:3] == measured(whole)
    assert (cut.accuracy, cut.loss) == (whole.accuracy, whole.loss)
    assert cut.loss != cut.epochs[-1].loss
    assert states_equal(cut.model, whole.model)
    often = train(config(evaluate_every=2, schedule=CosineRestarts(phases=(2,)), threads=1))
    assert (often.returned_epoch, len(often.epochs)) == (4, 6)
    assert often.accuracy == train(config(schedule=CosineRestarts(phases=(2,)), threads=1)).accuracy


def test_a_run_that_diverges_in_an_incomplete_phase_has_diverged() -> None:
    schedule = CosineRestarts(phases=(1, 3), ranges=((1e-9, 0.0), (1.0, 1.0)))
    result = train(config(schedule=schedule, lr=1e6))
    assert result.diverged
    assert result.epochs[0].accuracy > 0
    assert (result.accuracy, result.returned_epoch) == (0.0, len(result.epochs))


@pytest.mark.parametrize("schedule", [kind() for kind in SCHEDULES.values()], ids=lambda schedule: schedule.name)
def test_a_run_follows_its_schedule(schedule: Schedule) -> None:
    result = train(config(schedule=schedule, lr=0.5))
    ends = [0.5 * schedule.multiplier(step, 12, 4) for step in (3, 7, 11)]
    assert [epoch.lr for epoch in result.epochs] == ends


def test_a_high_loss_is_divergence_only_after_the_warmup_and_over_an_epoch() -> None:
    wild: dict[str, object] = {"lr": 100.0, "momentum": 0.9, "wd": 0.0, "precision": "fp32"}
    assert len(train(config(**wild, schedule=Constant())).epochs) == 1
    assert len(train(config(**wild, schedule=Constant(warmup_epochs=2))).epochs) == 3
    often = train(config(**{**wild, "lr": 30.0}, schedule=Constant(), evaluate_every=1))
    assert often.diverged
    assert often.steps >= 4 or not math.isfinite(often.epochs[-1].train_loss)


def test_a_rate_per_images_is_the_rate_of_that_batch() -> None:
    scaled = train(config(lr=3.2, optimizer=Sgd(rate_per_images=512)))
    assert measured(scaled) == measured(train(config(lr=0.1)))
    assert scaled.epochs[0].lr == pytest.approx(0.1 * Triangle().multiplier(3, 12, 4))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_adamw_learns(precision: str) -> None:
    adamw = {"momentum": None, "beta1": 0.9, "lr": 0.02, "optimizer": AdamW()}
    result = train(config(task_file("digits", epochs=5), precision=precision, **adamw))
    assert result.precision == precision
    assert result.accuracy > 85


WRONG = [
    ({"momentum": None}, "momentum"),
    ({"beta1": 0.9}, "beta1"),
    ({"optimizer": AdamW(), "beta1": 0.9}, "momentum"),
    ({"optimizer": AdamW(), "momentum": None}, "beta1"),
    ({"optimizer": AdamW(), "momentum": None, "beta1": 1.0}, "beta1"),
    ({"schedule": Constant(warmup_epochs=4)}, "schedule.warmup_epochs"),
    ({"lr": 0.0}, "lr"),
    ({"lr": math.inf}, "lr"),
    ({"momentum": 1.0}, "momentum"),
    ({"momentum": math.nan}, "momentum"),
    ({"wd": -1e-3}, "wd"),
    ({"batch_size": 65}, "batch_size"),
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": 1}, "batch_size"),
    ({"threads": 0}, "threads"),
    ({"compile": "yes"}, "compile"),
    ({"seed": -1}, "seed"),
    ({"precision": "fp8"}, "precision"),
    ({"device": "cuda:77"}, "device"),
    ({"device": "toaster"}, "device"),
    ({"evaluate_every": 0}, "evaluate_every"),
    ({"evaluate_every": 13}, "evaluate_every"),
    ({"evaluate_every": 3, "schedule": CosineRestarts(phases=(2,))}, "evaluate_every"),
    ({"clip_gradient": 0.0}, "clip_gradient"),
    ({"clip_gradient": math.nan}, "clip_gradient"),
]


@pytest.mark.parametrize(("changes", "key"), WRONG, ids=str)
def test_a_wrong_setting_is_refused(changes: dict[str, object], key: str) -> None:
    with refused(ConfigError, key):
        train(config(**changes))


def test_batches_of_one_work_if_batch_norm_can() -> None:
    task = image_task(dataset="cifar10", image_size=16, train_images=2, batch_size=1)
    assert config(task, batch_size=1).images_per_step == 1


def test_expected_seconds_grow_with_the_epochs() -> None:
    task = task_file("digits")
    short, long = (expected_seconds(config(dataclasses.replace(task, epochs=epochs))) for epochs in (2, 200))
    assert 0 < short < long


@pytest.mark.slow
def test_cifar10_small_end_to_end() -> None:
    path = unpacked(train=1200, test=200)
    task = task_file("cifar10_small", train_images=800, validation_images=400, test_images=200, epochs=4)
    result = train(config(task, DataConfig(path=str(path)), lr=0.2, momentum=0.9, wd=1e-3))
    assert result.accuracy > 20
    assert result.steps == 4 * (800 // 32)


@SHORT
def test_evaluating_by_steps_changes_only_when_a_run_is_evaluated(short: Short) -> None:
    whole = train(short(threads=1), keep_model=True)
    often = train(short(threads=1, evaluate_every=whole.steps // 2 - 1), keep_model=True)
    assert states_equal(whole.model, often.model)
    assert [epoch.steps for epoch in whole.epochs] == [whole.steps // 3] * 3
    assert [epoch.steps for epoch in often.epochs] == [whole.steps // 2 - 1] * 2 + [2], "the last one is at the end"
    assert (often.accuracy, often.loss, often.steps) == (whole.accuracy, whole.loss, whole.steps)
    total = sum(epoch.train_loss * epoch.steps for epoch in whole.epochs)
    assert sum(epoch.train_loss * epoch.steps for epoch in often.epochs) == pytest.approx(total)
    run = short()
    ends = [sum(epoch.steps for epoch in often.epochs[:number]) - 1 for number in (1, 2, 3)]
    planned = [run.schedule.multiplier(step, run.total_steps, run.steps_per_epoch) * run.peak_rate for step in ends]
    assert [epoch.lr for epoch in often.epochs] == pytest.approx(planned)


@pytest.mark.parametrize("optimizer", [Sgd(), AdamW()])
def test_recording_steps_does_not_change_a_run(optimizer: Sgd | AdamW) -> None:
    keys = {"optimizer": optimizer, "threads": 1}
    if isinstance(optimizer, AdamW):
        keys |= {"momentum": None, "beta1": 0.9, "lr": 0.01}
    plain, seen = train(config(**keys)), train(config(**keys, record_steps=True))
    assert measured(plain) == measured(seen)
    assert plain.recorded.gradient_norm == ()
    assert seen.recorded.lr == pytest.approx([config(**keys).lr * Triangle().multiplier(s, 12, 4) for s in range(12)])
    assert len(seen.recorded.gradient_norm) == 12
    assert seen.recorded.clipped_norm == seen.recorded.gradient_norm


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_clipping_bounds_the_steps(precision: str) -> None:
    one = {"schedule": Constant(), "momentum": 0.0, "wd": 0.0, "threads": 1, "record_steps": True}
    free = train(config(**one, precision=precision))
    bound = 0.5 * min(free.recorded.gradient_norm)
    assert math.isfinite(bound)
    clipped = train(config(**one, precision=precision, clip_gradient=bound))
    assert clipped.recorded.gradient_norm[0] == pytest.approx(free.recorded.gradient_norm[0])
    assert clipped.recorded.gradient_norm[5] != free.recorded.gradient_norm[5]
    assert set(clipped.recorded.clipped_norm) == {bound}


def test_the_recorded_norm_is_that_of_the_gradient() -> None:
    """One step of gradient descent moves the weights by lr times the norm."""
    short = config(
        image_task(train_images=16, validation_images=100, batch_size=16, width=4, epochs=1, pad=0),
        schedule=Constant(), momentum=0.0, wd=0.0, precision="fp32", record_steps=True, lr=0.01,
    )  # fmt: skip
    moved, still = train(short, keep_model=True), train(dataclasses.replace(short, lr=1e-30), keep_model=True)
    assert moved.model is not None
    assert still.model is not None
    pairs = zip(moved.model.parameters(), still.model.parameters(), strict=True)
    distance = math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in pairs))
    assert moved.recorded.gradient_norm == pytest.approx([distance / 0.01], rel=1e-4)
