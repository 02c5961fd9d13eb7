"""One point, one measurement: a user's function in all its shapes, our trainer, seeds and failures."""

from __future__ import annotations

import json
import math
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError, ObjectiveError
from flatdirs.objectives.base import RunInfo
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.objectives.reporter import MOST_POINTS, Reporter, Stopped
from flatdirs.objectives.signature import find_function
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


def deeper(lr: float) -> float:
    """Something that a function of the test calls."""
    return lr


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
    assert seen == [(0, 0), (10, 0), (20, 0), (0, 1), (10, 1)]
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


def test_an_exception_shows_the_users_own_lines_and_the_setting(function: Callable[..., CallableObjective]) -> None:
    def bug(lr: float) -> float:
        return json.loads("{") + deeper(lr)

    with refused(ObjectiveError, "task.function", "task.catch=true"):
        function(bug).measure(POINT, [0], silent)
    with pytest.raises(ObjectiveError) as caught:
        function(bug).measure(POINT, [0], silent)
    assert "lr=0.1 momentum=0.9 wd=0.001" in str(caught.value)
    assert "seed" not in str(caught.value)
    frames = caught.value.detail
    assert 'json.loads("{")' in frames
    assert frames.splitlines()[-1].startswith("json.decoder.JSONDecodeError")
    assert "flatdirs/objectives" not in frames
    assert "json/decoder.py" not in frames
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key, again.detail) == (str(caught.value), "task.function", frames)
    caught_bug = function(bug, catch=True).measure(POINT, [0], silent)
    assert caught_bug.state == "diverged"
    assert "JSONDecodeError" in caught_bug.provenance["error"]


def test_the_users_lines_are_found_in_an_installed_package_too(function: Callable[..., CallableObjective]) -> None:
    with pytest.raises(ObjectiveError) as caught:
        CallableObjective(CallableTask("callable", "statistics:fmean"), kwargs={"data": []}).measure({}, [0], silent)
    assert "statistics.py" in caught.value.detail
    assert "flatdirs/objectives" not in caught.value.detail


def test_errors_of_flatdirs_pass_through_a_function(function: Callable[..., CallableObjective]) -> None:
    def train(lr: float) -> float:
        raise ConfigError("lr is odd; change lr", key="lr")

    with refused(ConfigError, "lr"):
        function(train, catch=True).measure(POINT, [0], silent)


def test_a_pruned_run_is_one_that_stopped_or_raised_trial_pruned(function: Callable[..., CallableObjective]) -> None:
    def stopped(lr: float, report: Any) -> float:
        for step in range(5):
            report(step, step / 2)
        return 1.0

    def wrapped(lr: float, report: Any) -> float:
        try:
            return stopped(lr, report)
        except Stopped as error:
            raise RuntimeError("the trainer failed") from error

    def pruned(lr: float, report: Any) -> float:
        report(2, 1.0)
        raise optuna.TrialPruned

    def at_once(lr: float) -> float:
        raise optuna.TrialPruned

    def third(done: int, total: int | None, value: float, repeat: int) -> bool:
        return done == 2

    for train, progress in ((stopped, third), (wrapped, third), (pruned, silent)):
        measured = function(train).measure(POINT, [0], progress)
        assert (measured.state, measured.value, measured.partial) == ("pruned", None, 1.0)
    assert (function(at_once).measure(POINT, [0], silent).state) == "pruned"


def test_reports_keep_the_users_steps_from_any_thread_until_the_run_ends(
    function: Callable[..., CallableObjective],
) -> None:
    late: list[Any] = []

    def train(lr: float, report: Any) -> float:
        threads = [threading.Thread(target=lambda n=n: [report(n + 4 * k, n) for k in range(50)]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        late.append(report)
        return 1.0

    seen: list[int] = []
    measured = function(train).measure(POINT, [0], lambda done, total, value, repeat: seen.append(done))
    assert sorted(seen) == list(range(200))
    assert sorted(point["step"] for point in measured.curve) == list(range(200))
    late[0](1000, 5.0)
    assert len(seen) == 200


@pytest.mark.parametrize(("step", "value"), [("a", 1.0), (1, "b"), (0.5, 1.0), (-1, 1.0), (None, 1.0), ("3", 1.0)])
def test_a_report_of_something_else_is_refused(
    step: Any, value: Any, function: Callable[..., CallableObjective]
) -> None:
    with refused(ObjectiveError, "task.function", "report("):
        function(lambda lr, report: report(step, value)).measure(POINT, [0], silent)


@given(count=st.integers(0, 5000))
def test_of_many_reports_some_are_kept_and_the_last(count: int) -> None:
    reporter = Reporter(lambda step, value: False, RuntimeError)
    for step in range(count):
        reporter(3 * step, float(step))
    steps = [step for step, _ in reporter.points]
    assert steps == sorted(set(steps))
    assert len(steps) <= 2 * MOST_POINTS
    assert not count or (steps[0], steps[-1]) == (0, 3 * (count - 1))
    assert count >= 2 * MOST_POINTS or len(steps) == count


def test_a_function_may_be_given_with_names_and_fixed_arguments() -> None:
    def train(eta: float, decay: float, width: int, *, depth: int = 1, run: Any = None) -> float:
        assert run.number is None
        assert run.device in ("cpu", "cuda:0")
        return eta * width + depth

    task = CallableTask("callable", "somewhere:train")
    names = {"lr": "eta", "wd": "decay"}
    objective = CallableObjective(task, given=train, names=names, kwargs={"width": 10, "depth": 2})
    objective.check(["lr", "wd"], ["lr", "wd"])
    assert objective.measure({"lr": 0.1, "wd": 0.5}, [0], silent).value == 3.0
    assert not objective.takes_seed
    for wrong, key in (
        (replace(objective, kwargs={"width": 10, "height": 2}), "train"),
        (replace(objective, kwargs={}), "train"),
        (replace(objective, names={}), "train"),
        (replace(objective, kwargs={"width": 1, "eta": 1.0}), "kwargs"),
    ):
        with refused(ObjectiveError, key):
            wrong.check(["lr", "wd"], ["lr", "wd"])


def test_a_function_that_takes_a_seed_says_so(function: Callable[..., CallableObjective]) -> None:
    for train, takes in ((lambda lr, seed: lr, True), (lambda lr: lr, False), (lambda **given: 1.0, True)):
        assert function(train).takes_seed is takes


def test_a_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    def train(lr: float, run: Any) -> float:
        (run.folder / "weights").write_text(str(lr))
        return float(run.number)

    objective = CallableObjective(CallableTask("callable", "somewhere:train"), given=train)
    measured = objective.measure(POINT, [0], silent, run=RunInfo("mine", 7, "0007", tmp_path))
    assert measured.value == 7
    assert (tmp_path / "runs/0007/weights").read_text() == "0.1"
    assert (tmp_path / "runs/0007").stat().st_mode & 0o777 == 0o700


def test_code_is_known_by_its_text() -> None:
    def code(train: Any, **kwargs: Any) -> dict[str, str]:
        return CallableObjective(CallableTask("callable", "somewhere:train"), given=train, kwargs=kwargs).code()

    def compiled(text: str) -> Any:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(text, space)
        return space["train"]

    same, other = "def train(lr): return [lr for _ in 'ab'][0]", "def train(lr): return [lr for _ in 'ac'][0]"
    assert code(compiled(same)) == code(compiled(same))
    assert code(compiled(same)) != code(compiled(other))
    assert set(code(digits)) == {"test_objective.py"}
    assert code(partial(digits, width=3)) == code(digits)
    assert code(digits, epochs=3) != code(digits, epochs=4)
    assert code(digits, data=object()) == code(digits, data=object())


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
