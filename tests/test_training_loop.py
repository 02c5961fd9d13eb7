"""Whole runs: repeatable to the bit, honest about divergence, and without side effects."""

from __future__ import annotations

import dataclasses
import math
import random
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


def measured(result: TrainResult) -> list[tuple[float, ...]]:
    """Everything of a run but its clock, nan made comparable."""
    return [
        (epoch.number, epoch.accuracy, epoch.lr, *(repr(x) for x in (epoch.train_loss, epoch.loss)))  # type: ignore[misc]
        for epoch in result.epochs
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_repeats_to_the_bit(precision: str) -> None:
    first = train(config(precision=precision, threads=1), keep_model=True)
    torch.manual_seed(99)
    torch.rand(7)
    again = train(config(precision=precision, threads=1), keep_model=True)
    assert measured(first) == measured(again)
    assert states_equal(first.model, again.model)
    assert measured(train(config(precision=precision, threads=1, seed=1))) != measured(first)


def test_a_run_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads())
    train(config(threads=1))
    expected_seconds(config(threads=1))
    assert torch.equal(before[0], torch.get_rng_state())
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads())
    assert before[1:] == after


def test_digits_are_learnt() -> None:
    result = train(config(task_file("digits"), lr=0.256))
    assert result.accuracy > 90
    assert not result.at_chance
    assert not result.diverged
    assert result.steps == 20 * (300 // 16)
    assert result.model is None
    assert result.accuracy == result.epochs[-1].accuracy
    assert result.loss == result.epochs[-1].loss


@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_a_huge_rate_diverges_without_an_exception(lr: float) -> None:
    seen: list[Epoch] = []
    result = train(config(lr=lr, momentum=0.9, wd=0.0), seen.append)
    assert result.diverged
    assert (result.accuracy, result.loss) == (0.0, math.inf)
    assert result.at_chance
    assert tuple(seen) == result.epochs
    assert result.steps == 4 * len(seen)


def test_what_the_callback_raises_passes_through() -> None:
    def stop(epoch: Epoch) -> None:
        raise KeyError(epoch.number)

    threads = torch.get_num_threads()
    with pytest.raises(KeyError, match="1"):
        train(config(threads=1), stop)
    assert torch.get_num_threads() == threads


def test_a_hopeless_rate_stays_at_chance() -> None:
    result = train(config(lr=1e-9))
    assert result.at_chance
    assert not result.diverged


def test_the_test_protocol_uses_all_training_images() -> None:
    tuning, final = config(), config(data=DataConfig(evaluate="test"))
    assert (tuning.training_images, final.training_images) == (64, 164)
    assert train(final).steps == 3 * (164 // 16)
    assert train(tuning).steps == 3 * (64 // 16)


def test_the_last_partial_batch_is_dropped() -> None:
    assert train(config(batch_size=60)).steps == 3


def test_gradient_scaling_trains_as_well() -> None:
    result = train(config(precision="fp16"))
    assert result.precision == "fp16"
    assert math.isfinite(result.loss)


def states_equal(one: torch.nn.Module | None, other: torch.nn.Module | None) -> bool:
    """Whether two networks agree in every weight and every running statistic, to the bit."""
    assert one is not None
    assert other is not None
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_run_cut_inside_a_phase_returns_the_end_of_the_last_finished_one() -> None:
    restarts = CosineRestarts(phases=(1, 2, 4))
    task = config().task
    whole, cut = (
        train(config(dataclasses.replace(task, epochs=n), schedule=restarts, threads=1), keep_model=True)
        for n in (3, 5)
    )
    assert (whole.returned_epoch, len(whole.epochs)) == (3, 3)
    assert (cut.returned_epoch, len(cut.epochs)) == (3, 5), "the run goes on to its last epoch"
    assert cut.steps == 5 * 4
    assert measured(cut)[:3] == measured(whole)
    assert (cut.accuracy, cut.loss) == (whole.accuracy, whole.loss)
    assert cut.loss != cut.epochs[-1].loss
    assert states_equal(cut.model, whole.model)
    later = train(config(dataclasses.replace(task, epochs=7), schedule=restarts, threads=1), keep_model=True)
    assert later.returned_epoch == 7
    assert not states_equal(later.model, whole.model)


def test_a_run_that_diverges_in_an_unfinished_phase_diverged() -> None:
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


def test_twice_guessings_loss_is_allowed_while_the_rate_still_rises() -> None:
    wild: dict[str, object] = {"lr": 100.0, "momentum": 0.9, "wd": 0.0, "precision": "fp32"}
    assert len(train(config(**wild, schedule=Constant())).epochs) == 1
    assert len(train(config(**wild, schedule=Constant(warmup_epochs=2))).epochs) == 3


def test_a_rate_per_images_is_the_rate_of_that_batch() -> None:
    scaled = train(config(lr=3.2, optimizer=Sgd(rate_per_images=512)))
    assert measured(scaled) == measured(train(config(lr=0.1)))
    assert scaled.epochs[0].lr == pytest.approx(0.1 * Triangle().multiplier(3, 12, 4))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_adamw_learns(precision: str) -> None:
    adamw = {"momentum": None, "beta1": 0.9, "lr": 0.02, "optimizer": AdamW()}
    result = train(config(task_file("digits", epochs=5), precision=precision, **adamw))
    assert not result.diverged
    assert result.accuracy > 85


def test_heavy_ball_and_nesterov_differ() -> None:
    assert measured(train(config(optimizer=Sgd(nesterov=False)))) != measured(train(config()))


BAD_KEYS = [
    ({"momentum": None}, "optimizer=sgd needs momentum"),
    ({"beta1": 0.9}, "optimizer=sgd has no beta1"),
    ({"optimizer": AdamW(), "beta1": 0.9}, "optimizer=adamw has no momentum"),
    ({"optimizer": AdamW(), "momentum": None}, "optimizer=adamw needs beta1; set beta1="),
    ({"optimizer": AdamW(), "momentum": None, "beta1": 1.0}, "beta1=1.0 must lie in [0, 1); change beta1"),
    ({"schedule": Constant(warmup_epochs=4)}, "schedule.warmup_epochs=4 is longer than the run, task.epochs=3"),
    ({"lr": 0.0}, "lr=0.0 must be finite and above 0"),
    ({"lr": math.inf}, "lr=inf must be finite and above 0"),
    ({"lr": math.nan}, "lr=nan must be finite and above 0"),
    ({"momentum": 1.0}, "momentum=1.0 must lie in [0, 1)"),
    ({"momentum": math.nan}, "momentum=nan must lie in [0, 1)"),
    ({"wd": -1e-3}, "wd=-0.001 must be finite and at least 0"),
    ({"batch_size": 65}, "batch_size=65 must be at most 64; change batch_size"),
    ({"batch_size": 0}, "batch_size=0 must be at least 1; change batch_size"),
    ({"batch_size": 1}, "batch_size=1 leaves batch norm a single value per channel"),
    ({"threads": 0}, "threads=0 must be at least 1; change threads"),
    ({"compile": "yes"}, "compile=yes must be true or false; change compile"),
    ({"seed": -1}, "seed=-1 must be at least 0; change seed"),
    ({"precision": "fp8"}, "precision=fp8 must be auto, bf16, fp16 or fp32; change precision"),
    ({"device": "cuda:77"}, "device=cuda:77 is not available here; set device=auto or device=cpu"),
    ({"device": "toaster"}, "device=toaster is not a device; set device to auto, cpu or cuda"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_KEYS, ids=[words for _, words in BAD_KEYS])
def test_a_wrong_key_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train(config(**changes))
    assert words in str(caught.value)


def test_batches_of_one_work_where_batch_norm_can() -> None:
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
    assert not result.at_chance
    assert result.accuracy > 20
    assert result.steps == 4 * (800 // 32)


def test_evaluating_by_steps_changes_nothing_but_when_a_run_is_judged() -> None:
    whole = train(config(threads=1), keep_model=True)
    often = train(config(threads=1, evaluate_every=5), keep_model=True)
    assert states_equal(whole.model, often.model)
    assert [epoch.steps for epoch in whole.epochs] == [4, 4, 4]
    assert [epoch.steps for epoch in often.epochs] == [5, 5, 2], "the last one comes at the end"
    assert (often.accuracy, often.loss, often.steps) == (whole.accuracy, whole.loss, 12)
    total = sum(epoch.train_loss * epoch.steps for epoch in whole.epochs)
    assert sum(epoch.train_loss * epoch.steps for epoch in often.epochs) == pytest.approx(total)
    ends = [Triangle().multiplier(step, 12, 4) * 0.1 for step in (4, 9, 11)]
    assert [epoch.lr for epoch in often.epochs] == pytest.approx(ends)


def test_whoever_watches_may_stop_a_run() -> None:
    stopped = train(config(evaluate_every=2), on_epoch=lambda epoch: epoch.number == 3, keep_model=True)
    assert (stopped.stopped, stopped.diverged, stopped.steps, len(stopped.epochs)) == (True, False, 6, 3)
    assert stopped.returned == stopped.epochs[-1]
    assert not train(config(), on_epoch=lambda epoch: epoch.number == 3).stopped, "a run at its end is not stopped"
    wild = train(config(lr=1e30), on_epoch=lambda epoch: True)
    assert (wild.diverged, wild.stopped) == (True, False)


@pytest.mark.parametrize("optimizer", [Sgd(), AdamW()])
def test_steps_are_recorded_without_a_trace(optimizer: Sgd | AdamW) -> None:
    keys = {"optimizer": optimizer, "threads": 1}
    if isinstance(optimizer, AdamW):
        keys |= {"momentum": None, "beta1": 0.9, "lr": 0.01}
    plain, seen = train(config(**keys)), train(config(**keys, record_steps=True))
    assert measured(plain) == measured(seen)
    assert plain.recorded.gradient_norm == ()
    rates = config(**keys).lr
    expected = [rates * Triangle().multiplier(step, 12, 4) for step in range(12)]
    assert seen.recorded.lr == pytest.approx(expected)
    assert len(seen.recorded.gradient_norm) == 12
    assert seen.recorded.clipped_norm == seen.recorded.gradient_norm


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_clipping_bounds_the_steps(precision: str) -> None:
    """One step of plain gradient descent from the same weights moves as far as the clipped gradient says."""
    one = {"schedule": Constant(), "momentum": 0.0, "wd": 0.0, "threads": 1, "record_steps": True}
    free = train(config(**one, precision=precision))
    bound = 0.5 * min(free.recorded.gradient_norm)
    assert math.isfinite(bound)
    clipped = train(config(**one, precision=precision, clip_gradient=bound))
    assert clipped.recorded.gradient_norm[0] == pytest.approx(free.recorded.gradient_norm[0])
    assert clipped.recorded.gradient_norm[5] != free.recorded.gradient_norm[5]
    assert set(clipped.recorded.clipped_norm) == {bound}
    loose = train(config(**one, precision=precision, clip_gradient=1e9))
    assert loose.recorded.clipped_norm == loose.recorded.gradient_norm


def test_a_norm_is_the_gradients() -> None:
    """The first norm, from scratch: the length that one step of plain gradient descent goes, over the rate."""
    short = config(
        image_task(train_images=16, validation_images=100, batch_size=16, width=4, epochs=1, pad=0),
        schedule=Constant(), momentum=0.0, wd=0.0, precision="fp32", record_steps=True, lr=0.01,
    )  # fmt: skip
    moved, still = (
        train(short, keep_model=True),
        train(dataclasses.replace(short, lr=1e-30), keep_model=True),
    )
    assert moved.model is not None
    assert still.model is not None
    pairs = zip(moved.model.parameters(), still.model.parameters(), strict=True)
    distance = math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in pairs))
    assert moved.recorded.gradient_norm == pytest.approx([distance / 0.01], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"evaluate_every": 13}, "evaluate_every"),
        ({"evaluate_every": 3, "schedule": CosineRestarts(phases=(2,))}, "evaluate_every"),
        ({"clip_gradient": 0.0}, "clip_gradient"),
        ({"clip_gradient": math.nan}, "clip_gradient"),
    ],
)
def test_what_no_run_could_use_of_these_is_a_sentence(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}="):
        config(**changes)


def test_by_steps_a_schedule_that_restarts_returns_its_phase() -> None:
    restarts = CosineRestarts(phases=(2,))
    cut = train(config(evaluate_every=2, schedule=restarts, threads=1))
    assert (cut.returned_epoch, len(cut.epochs)) == (4, 6)
    assert cut.accuracy == train(config(schedule=restarts, threads=1)).accuracy


def test_by_steps_divergence_is_judged_over_an_epoch() -> None:
    wild = {"lr": 30.0, "momentum": 0.9, "wd": 0.0, "schedule": Constant()}
    whole, often = train(config(**wild)), train(config(**wild, evaluate_every=1))
    assert whole.diverged
    assert often.diverged
    assert often.steps >= 4 or not math.isfinite(often.epochs[-1].train_loss)
