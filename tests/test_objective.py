"""One point, one measurement: a user's function in all its shapes, our trainer, seeds and failures."""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from flatdirs.errors import ConfigError, ObjectiveError
from flatdirs.objectives.function import CallableObjective, CallableTask, find_function
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.task import DataConfig, ImageTask
from tests.refused import refused

POINT = {"lr": 0.1, "momentum": 0.9, "wd": 0.001}


@pytest.fixture
def function() -> Iterator[Callable[..., CallableObjective]]:
    """Wrap a function of the test as a user's module."""
    module = types.ModuleType("users_module")
    sys.modules["users_module"] = module

    def wrap(train: Any, **options: Any) -> CallableObjective:
        module.train = train  # type: ignore[attr-defined]
        find_function.cache_clear()
        return CallableObjective(CallableTask("callable", "users_module:train", **options))

    yield wrap
    del sys.modules["users_module"]
    find_function.cache_clear()


def silent(done: int, total: int | None, value: float, repeat: int) -> None:
    """Progress that nobody reads."""


def test_a_function_gets_what_it_has_parameters_for(function: Callable[..., CallableObjective]) -> None:
    def everything(lr: float, momentum: float, wd: float, seed: int, report: Any) -> float:
        report(1, 0.5)
        report(2, 0.7)
        return lr + momentum + wd + seed

    def keywords(**given: Any) -> float:
        assert set(given) == {*POINT, "seed", "report"}
        return 1.0

    seen: list[tuple[int, float]] = []
    measured = function(everything).measure(POINT, [7], lambda done, total, value, _: seen.append((done, value)))
    assert measured.value == pytest.approx(0.1 + 0.9 + 0.001 + 7)
    assert measured.state == "finished"
    assert seen == [(1, 0.5), (2, 0.7)]
    assert [point["value"] for point in measured.curve] == [0.5, 0.7]
    assert function(keywords).measure(POINT, [0], silent).value == 1.0
    assert function(lambda lr: lr).measure(POINT, [0], silent).value == 0.1


def test_a_function_may_use_the_long_names(function: Callable[..., CallableObjective]) -> None:
    def long(learning_rate: float, momentum: float, *, weight_decay: float = 0.0) -> float:
        return learning_rate + weight_decay

    def mixed(learning_rate: float, **given: Any) -> float:
        assert set(given) == {"momentum", "wd", "seed", "report"}
        return learning_rate

    for train, value in ((long, 0.101), (mixed, 0.1), (lambda lr, weight_decay: lr + weight_decay, 0.101)):
        assert function(train).measure(POINT, [0], silent).value == pytest.approx(value)
    function(long).check(list(POINT), list(POINT))
    with refused(ObjectiveError, "task.function", "wd"):
        function(lambda learning_rate, momentum: 1.0).check(list(POINT), list(POINT))


def test_seeds_are_averaged_and_reports_say_whose_they_are(function: Callable[..., CallableObjective]) -> None:
    def train(lr: float, seed: int, report: Any) -> float:
        for step in range(seed):
            report(10 * step, float(seed))
        return float(seed)

    seen: list[tuple[int, int]] = []
    measured = function(train).measure(POINT, [3, 2], lambda done, total, value, repeat: seen.append((done, repeat)))
    assert seen == [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1)]
    assert [(point["seed"], point["step"]) for point in measured.curve] == [(3, 0), (3, 10), (3, 20), (2, 0), (2, 10)]
    assert (measured.value, measured.provenance["values"]) == (2.5, [3.0, 2.0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_diverged(value: float, function: Callable[..., CallableObjective]) -> None:
    measured = function(lambda lr: value).measure(POINT, [0], silent)
    assert (measured.state, measured.value) == ("diverged", None)


@pytest.mark.parametrize("value", ["0.9", b"1", None, True, [1.0], {"accuracy": 1}])
def test_what_is_no_number_is_refused(value: Any, function: Callable[..., CallableObjective]) -> None:
    with refused(ObjectiveError, "task.function"):
        function(lambda lr: value).measure(POINT, [0], silent)


def test_numpy_and_torch_numbers_are_numbers(function: Callable[..., CallableObjective]) -> None:
    for value in (np.float32(0.5), torch.tensor(0.5), 1, np.int64(1)):
        assert function(lambda lr, value=value: value).measure(POINT, [0], silent).value == float(value)


def test_exceptions_pass_through_unless_they_are_to_be_caught(function: Callable[..., CallableObjective]) -> None:
    def bug(lr: float) -> float:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        function(bug).measure(POINT, [0], silent)
    assert function(bug, catch=True).measure(POINT, [0], silent).state == "diverged"


def test_a_function_must_take_what_is_searched(function: Callable[..., CallableObjective]) -> None:
    function(lambda lr, momentum, wd: 1.0).check(list(POINT), list(POINT))
    function(lambda lr, wd: 1.0).check(list(POINT), ["lr", "wd"])
    for train, word in ((lambda lr, wd: 1.0, "momentum"), (lambda lr, momentum, wd, model: 1.0, "model")):
        with refused(ObjectiveError, "task.function", word):
            function(train).check(list(POINT), list(POINT))


def digits(**changes: Any) -> ImageObjective:
    """Two epochs of digits."""
    sizes = {"train_images": 300, "validation_images": 1000, "test_images": 497, "image_size": 8, "pad": 1}
    settings = {"name": "digits", "dataset": "digits", "epochs": 2, "batch_size": 16, "width": 4, **sizes, **changes}
    return ImageObjective(ImageTask(**settings), DataConfig(), threads=1)


def test_our_trainer_measures_percent_loss_and_curve() -> None:
    seen: list[tuple[int, int | None, int]] = []
    measured = digits().measure(POINT, [0, 1], lambda done, total, value, run: seen.append((done, total, run)))
    assert seen == [(1, 2, 0), (2, 2, 0), (1, 2, 1), (2, 2, 1)]
    assert measured.state == "finished"
    assert measured.value == pytest.approx(sum(measured.provenance["accuracies"]) / 2)
    assert 5 < measured.value < 100
    assert measured.at_chance in (True, False)
    assert [(point["seed"], point["number"]) for point in measured.curve] == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_a_diverged_run_keeps_its_measured_accuracy_and_plain_numbers() -> None:
    measured = digits().measure({**POINT, "lr": 1e12}, [0], silent)
    assert (measured.state, measured.loss) == ("diverged", None)
    assert measured.value == measured.curve[-1]["accuracy"]
    json.dumps(measured.curve, allow_nan=False)


def test_confirmation_trains_on_the_same_images_and_uses_the_test_set() -> None:
    tuned, final = (digits().config(POINT, 0, final) for final in (False, True))
    assert (tuned.data.evaluate, final.data.evaluate) == ("validation", "final")
    assert tuned.total_steps == final.total_steps
    myrtle = ImageObjective(digits().task, DataConfig(evaluate="test"))
    assert myrtle.config(POINT, 0, True).data.evaluate == "test"


def test_the_trainer_refuses_other_hyperparameters() -> None:
    with refused(ConfigError, "chart", "beta1"):
        digits().measure({**POINT, "beta1": 0.9}, [0], silent)
    assert digits().config({**POINT, "batch_size": 32}, 0).images_per_step == 32
