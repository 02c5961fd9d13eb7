"""One point → one measurement: seeds, failures, intermediate reports. No search, no storage, no Hydra.

Two objectives stand side by side: our own trainer on an image task, and a user's function. A run that diverges is a
result like any other (`Measurement.state`); an exception of the user's function is a bug and goes through, unless
`task.catch` says that it counts as diverged. With `repeats` a point is trained once a seed and the mean counts.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from flatdirs.errors import ConfigError, FlatdirsError, ObjectiveError
from flatdirs.provenance import provenance
from flatdirs.search.outcome import State
from flatdirs.training.optimizer import Optimizer, Sgd, describe_optimizer
from flatdirs.training.schedule import Schedule, Triangle, describe_schedule
from flatdirs.training.task import DataConfig, ImageTask

if TYPE_CHECKING:
    from flatdirs.training.loop import TrainConfig, TrainResult

MOST_CURVE_POINTS = 500  # of a user's reports that are kept with the trial
Progress = Callable[[int, int | None, float], None]  # epochs (or reports) done, of how many, value


@dataclass(frozen=True)
class CallableTask:
    """A user's function as the task: `train(learning_rate, momentum, weight_decay, seed, report) → number`."""

    name: str
    function: str
    unit: str = ""
    catch: bool = False


@dataclass(frozen=True)
class Measurement:
    """What one point gave. `value` is in the study's own unit (percent for accuracies), None where there is none."""

    state: State
    value: float | None
    loss: float | None = None
    at_chance: bool | None = None
    seconds: float = 0.0
    curve: tuple[Mapping[str, float | None], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Objective(Protocol):
    """What a tuner needs to know of a task."""

    @property
    def unit(self) -> str:
        """What stands behind a value: % for accuracies."""

    @property
    def total(self) -> int | None:
        """Epochs of one run, None where nobody knows."""

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed. `final`: judge on the test part where the task has one."""

    def fingerprint(self) -> str:
        """What the task's data are; a study of other data is another study."""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """What one training run is expected to take here, or None where only a run can tell."""


@dataclass(frozen=True)
class ImageObjective:
    """Our own trainer on an image task. Accuracy in percent; higher is better."""

    task: ImageTask
    data: DataConfig
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    schedule: Schedule = field(default_factory=Triangle)
    optimizer: Optimizer = field(default_factory=Sgd)
    compile: bool = False
    unit: str = "%"

    def __post_init__(self) -> None:
        """Refuse a schedule that the run is too short for."""
        self.schedule.check(self.task.epochs)

    @property
    def total(self) -> int | None:
        """Epochs of one run."""
        return self.task.epochs

    def config(self, hyperparameters: Mapping[str, float], seed: int, final: bool = False) -> TrainConfig:
        """The trainer's configuration of one run. Raises ConfigError for what the optimizer does not take."""
        from flatdirs.training.loop import TrainConfig

        self.check(hyperparameters)
        data = replace(self.data, evaluate="final") if final and self.data.evaluate == "validation" else self.data
        batch_size = hyperparameters.get("batch_size")
        return TrainConfig(
            task=self.task,
            data=data,
            learning_rate=hyperparameters["learning_rate"],
            momentum=hyperparameters.get("momentum"),
            beta1=hyperparameters.get("beta1"),
            weight_decay=hyperparameters["weight_decay"],
            batch_size=None if batch_size is None else int(batch_size),
            seed=seed,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            schedule=self.schedule,
            optimizer=self.optimizer,
            compile=self.compile,
        )

    def recipe(self) -> dict[str, Any]:
        """Schedule and optimizer as plain mappings, for a study's identity and for best.yaml."""
        return {"schedule": describe_schedule(self.schedule), "optimizer": describe_optimizer(self.optimizer)}

    def check(self, hyperparameters: Iterable[str]) -> None:
        """Raise ConfigError unless these, with or without a batch size, are what the optimizer takes."""
        given, needed = {*hyperparameters} - {"batch_size"}, {*self.optimizer.hyperparameters}
        for names, problem in ((given - needed, "has no"), (needed - given, "needs")):
            if names:
                raise ConfigError(
                    f"optimizer={self.optimizer.name} {problem} {', '.join(sorted(names))}; change chart or optimizer "
                    f"to fit (chart=adamw goes with optimizer=adamw; sgd, sgd_batch, sgd_plain with sgd)"
                )

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed; the mean over the seeds is the value, one diverged run makes the point diverged."""
        from flatdirs.training.loop import train

        results = []
        for number, seed in enumerate(seeds):
            config = self.config(hyperparameters, seed, final)
            done = number * self.task.epochs

            def on_epoch(epoch: Any, done: int = done) -> None:
                progress(done + epoch.number, len(seeds) * self.task.epochs, epoch.accuracy)

            results.append(train(config, on_epoch=on_epoch))
        return _combine(results, seeds)

    def fingerprint(self) -> str:
        """A checksum of the images and labels."""
        from flatdirs.training.data import load
        from flatdirs.training.device import resolve_device

        return load(self.task, self.data, resolve_device(self.device)).checksum

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Times a few real steps and one evaluation on the loaded data."""
        from flatdirs.training.loop import expected_seconds

        return expected_seconds(self.config(hyperparameters, 0))


@dataclass(frozen=True)
class CallableObjective:
    """A user's own function. NaN, infinity and (with `task.catch`) exceptions count as diverged."""

    task: CallableTask
    total: int | None = None

    @property
    def unit(self) -> str:
        """What stands behind the value in tables."""
        return self.task.unit

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Call the function once a seed. Raises ObjectiveError where it returns no number."""
        function = find_function(self.task.function)
        began, values, curve = time.perf_counter(), [], []
        for seed in seeds:

            def report(step: int, value: float) -> None:
                try:
                    curve.append({"step": float(step), "value": float(value)})
                except (TypeError, ValueError) as error:
                    raise ObjectiveError(
                        f"{self.task.function} called report({step!r}, {value!r}); it takes two numbers, step and value"
                    ) from error
                progress(len(curve), None, float(value))

            offered = {**hyperparameters, "seed": seed, "report": report}
            values.append(self._call(function, {k: v for k, v in offered.items() if k in _accepted(function, offered)}))
        value = statistics.fmean(values)
        finite = math.isfinite(value)
        return Measurement(
            "finished" if finite else "diverged",
            value if finite else None,
            seconds=time.perf_counter() - began,
            curve=tuple(curve[:: 1 + len(curve) // MOST_CURVE_POINTS]),
            provenance={
                "values": [v if math.isfinite(v) else repr(v) for v in values],
                "seeds": list(seeds),
                **provenance(),
            },
        )

    def _call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> float:
        try:
            value = function(**arguments)
        except FlatdirsError:
            raise
        except SystemExit as error:
            raise ObjectiveError(
                f"{self.task.function} called sys.exit({error.code}); it must return a number, change task.function"
            ) from error
        except OSError as error:  # not to be taken for a disk of ours that is full
            if self.task.catch:
                return math.nan
            raise RuntimeError(f"{self.task.function} raised {type(error).__name__}: {error}") from error
        except Exception:
            if self.task.catch:
                return math.nan
            raise
        if isinstance(value, (str, bytes, bool)):
            self._refuse(value)
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            self._refuse(value)

    def _refuse(self, value: object) -> NoReturn:
        raise ObjectiveError(
            f"{self.task.function} returned {str(value)[:80]!r} ({type(value).__name__}); it must return a number, "
            f"change task.function"
        )

    def check(self, hyperparameters: Sequence[str], searched: Sequence[str]) -> None:
        """Raise unless the function can be imported and takes every searched hyperparameter."""
        function = find_function(self.task.function)
        accepted = _accepted(function, {*hyperparameters, "seed", "report"})
        if missing := [name for name in searched if name not in accepted]:
            raise ObjectiveError(
                f"{self.task.function} takes no {' and no '.join(missing)}; add it, or set fixed=[{','.join(missing)}]"
            )
        required = {
            parameter.name
            for parameter in _parameters(function)
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        if strange := required - accepted:
            raise ObjectiveError(
                f"{self.task.function} needs {', '.join(sorted(strange))}, which flatdirs does not know; give it a "
                f"default, or change chart"
            )

    def fingerprint(self) -> str:
        """Nothing is known of the data of a user's function."""
        return ""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Only a run can tell."""
        return None


@lru_cache
def find_function(path: str) -> Callable[..., Any]:
    """Import `package.module:function`, looking in the working directory too. Raises ObjectiveError."""
    module_name, colon, name = path.partition(":")
    if not (colon and module_name and name):
        raise ObjectiveError(f"task.function={path} must look like my_package.my_module:train; change task.function")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ObjectiveError(f"task.function={path} cannot be imported ({error}); change task.function") from error
    except SyntaxError as error:
        raise ObjectiveError(
            f"task.function={path} cannot be imported ({error.msg}, {error.filename}:{error.lineno}); "
            f"change task.function"
        ) from error
    except (Exception, SystemExit) as error:
        raise ObjectiveError(
            f"task.function={path} cannot be imported (its module raises {type(error).__name__}: {error}); mend it or "
            f"change task.function"
        ) from error
    if not callable(found):
        raise ObjectiveError(f"task.function={path} is a {type(found).__name__}, not a function; change task.function")
    return found


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """A function's parameters. Raises ObjectiveError for built-in ones, which do not tell."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ObjectiveError(f"{function!r} does not say what it takes; change task.function") from error


def _accepted(function: Callable[..., Any], offered: Mapping[str, Any] | set[str]) -> set[str]:
    """Which of the offered keywords a function takes."""
    parameters = _parameters(function)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return set(offered)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named & set(offered)


def _combine(results: Sequence[TrainResult], seeds: Sequence[int]) -> Measurement:
    """The mean of one point's runs; all that a later reader may ask for goes along."""
    diverged = any(result.diverged for result in results)
    losses = [result.loss for result in results]
    loss = statistics.fmean(losses)
    curve = tuple(
        {key: _plain(getattr(epoch, key)) for key in ("number", "train_loss", "loss", "accuracy", "seconds")}
        | {"seed": seed}
        for result, seed in zip(results, seeds, strict=True)
        for epoch in result.epochs
    )
    last = results[-1]
    return Measurement(
        "diverged" if diverged else "finished",
        statistics.fmean(result.returned.accuracy for result in results),  # measured, diverged or not
        loss if math.isfinite(loss) else None,
        all(result.at_chance for result in results),
        sum(result.seconds for result in results),
        curve,
        {
            "accuracies": [result.accuracy for result in results],
            "seeds": list(seeds),
            "steps": last.steps,
            "device": last.device,
            "precision": last.precision,
            "threads": last.threads,
            "compile_seconds": sum(result.compile_seconds for result in results),
            **provenance(),
        },
    )


def _plain(value: float) -> float | None:
    """JSON has no NaN; None stands for it."""
    return value if math.isfinite(value) else None
