"""A user's function as the objective: `train(lr, momentum, wd, seed, report, run) → number`.

The function gets every hyperparameter that it has a parameter for, and `seed`, `report` and `run` if it takes them; its
parameters are checked before the first run (signature.py). Without `seed`, each call is a fresh draw. NaN and infinity
count as diverged. An exception ends the search with the last lines of the user's own code, unless `task.catch` makes it
count as diverged; the run that it interrupted is made again by the next command. If the pruner stops a run, `report`
raises Stopped inside the function; `optuna.TrialPruned` counts as the same.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flatdirs.errors import FlatdirsError, ObjectiveError
from flatdirs.objectives.base import Measurement, Progress, RunInfo
from flatdirs.objectives.provenance import provenance
from flatdirs.objectives.reporter import Reporter, Stopped
from flatdirs.objectives.signature import arguments_of, find_function, named_parameters, takes_all
from flatdirs.objectives.user_code import code_of, last_frames, one_line, settings_of
from flatdirs.setting_checks import wrong
from flatdirs.space.names import canonical

PRUNED = "optuna.exceptions.TrialPruned"


@dataclass(frozen=True)
class CallableTask:
    """conf/task/callable.yaml. `function` is package.module:function."""

    name: str
    function: str
    unit: str = ""
    catch: bool = False


@dataclass(frozen=True)
class FunctionRun:
    """What a parameter called `run` gets: number, folder and device of the run. `info`: None outside a search."""

    info: RunInfo | None = None

    @property
    def number(self) -> int | None:
        """The number that tables show; None for a run that confirms."""
        return None if self.info is None else self.info.number

    @cached_property
    def folder(self) -> Path:
        """A folder of this run's own, made at its first use; a temporary one where there is no study."""
        if self.info is None or self.info.folder is None:
            return Path(tempfile.mkdtemp(prefix="flatdirs-"))
        path = self.info.folder / "runs" / self.info.label
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @cached_property
    def device(self) -> str:
        """The first device that torch has here, such as cuda:0; cpu without torch."""
        if find_spec("torch") is None:
            return "cpu"
        from flatdirs.training.device import resolve_device

        return str(resolve_device("auto"))


@dataclass(frozen=True)
class CallableObjective:
    """A user's function. NaN, infinity and (with `task.catch`) exceptions count as diverged.

    `given`: the function itself; None imports task.function. `names`: its parameter for a hyperparameter, where it is
    none of the usual names. `kwargs`: its other arguments, the same in every call.
    """

    task: CallableTask
    total: int | None = None
    given: Callable[..., Any] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return self.task.unit

    @property
    def function(self) -> Callable[..., Any]:
        """The function. Raises ObjectiveError where it cannot be imported."""
        return find_function(self.task.function) if self.given is None else self.given

    @property
    def takes_seed(self) -> bool:
        """Whether the function is told a seed; without one each call is a fresh draw."""
        return bool(arguments_of(self.function, {"seed": 0}, self.names))

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter for a hyperparameter."""
        return bool(arguments_of(self.function, {name: None}, self.names))

    def measure(
        self,
        hyperparameters: Mapping[str, Any],
        seeds: Sequence[int],
        progress: Progress,
        final: bool = False,
        run: RunInfo | None = None,
    ) -> Measurement:
        """Call the function once per seed. Raises ObjectiveError if it raises, or does not return a number."""
        began, values, curve = time.perf_counter(), list[float](), list[dict[str, float | None]]()
        error, partial, pruned = None, None, False
        for number, seed in enumerate(seeds):

            def hand_on(step: int, value: float, number: int = number) -> bool:
                return bool(progress(step, None, value, number))

            report = Reporter(hand_on, self._wrong)
            try:
                values.append(self._call({**hyperparameters, "seed": seed}, report, run))
            except Stopped:
                partial, pruned = report.last, True
            except _Caught as caught:
                error = str(caught)
                values.append(math.nan)
            finally:
                report.close()
            of_seed: dict[str, float | None] = {"seed": seed} if len(seeds) > 1 else {}
            curve += [{"step": step, "value": value, **of_seed} for step, value in report.points]
            if pruned:
                break
        value = math.nan if pruned else statistics.fmean(values)
        finite = math.isfinite(value)
        return Measurement(
            "pruned" if pruned else "finished" if finite else "diverged",
            value if finite else None,
            partial=partial,
            seconds=time.perf_counter() - began,
            curve=tuple(curve),
            provenance={
                "values": [v if math.isfinite(v) else repr(v) for v in values],
                "seeds": list(seeds),
                **({} if error is None else {"error": error}),
                **provenance(),
            },
        )

    def _call(self, values: Mapping[str, Any], report: Reporter, run: RunInfo | None) -> float:
        """The returned number. Raises Stopped, _Caught for what `task.catch` catches, or ObjectiveError."""
        function = self.function
        extra = {"run": FunctionRun(run)} if "run" in named_parameters(function) else {}
        offered = {**values, "report": report, **extra}
        try:
            value = function(**{**arguments_of(function, offered, self.names), **self.kwargs})
        except (FlatdirsError, Stopped):
            raise
        except SystemExit as error:
            raise self._wrong(f"called sys.exit({error.code}) and must return a number") from error
        except Exception as error:
            if report.stopped or _is_pruned(error):
                raise Stopped from error  # also what a library made of Stopped
            if self.task.catch:
                raise _Caught(one_line(error)) from error
            raise self._raised(error, values) from error
        try:
            if isinstance(value, (str, bytes, bool)):
                raise TypeError
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            problem = f"returned {str(value)[:80]!r} ({type(value).__name__}) and must return a number"
            raise self._wrong(problem) from error

    def _wrong(self, problem: str, remedy: str = "") -> FlatdirsError:
        key = "task.function" if self.given is None else "train"
        return wrong(key, self.task.function, problem, ObjectiveError, remedy)

    def _raised(self, error: Exception, values: Mapping[str, Any]) -> FlatdirsError:
        """The error of a function that raised one: what, at which setting, and what to do."""
        taken = arguments_of(self.function, dict.fromkeys(values), self.names)
        shown = " ".join(
            f"{name}={value:.10g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in values.items()
            if name != "seed" or "seed" in taken
        )
        problem = f"raised {one_line(error)} at {shown}"
        catch = "task.catch=true" if self.given is None else "catch=True"
        again = "correct it and start the same search again"
        made = self._wrong(problem, f"{again}, or set {catch} to count such a run as diverged")
        made.detail = last_frames(error)
        return made

    def check(self, hyperparameters: Sequence[str], searched: Sequence[str]) -> None:
        """Raise ObjectiveError unless the function can be imported and takes every searched hyperparameter."""
        function = self.function
        named = named_parameters(function)
        for name in self.kwargs:
            if name not in named and not takes_all(function):
                raise self._wrong(f"has no parameter {name}", "take it out of kwargs")
        own = {name: set(arguments_of(function, {name: None}, self.names)) for name in map(canonical, hyperparameters)}
        if twice := sorted(set(self.kwargs) & set[str]().union(*own.values())):
            raise wrong("kwargs", twice[0], "has a start too", ObjectiveError, "take it out of kwargs or out of start")
        taken = {name for name, found in own.items() if found}
        if missing := [name for name in map(canonical, searched) if name not in taken]:
            fixed = "" if len(missing) == len(searched) else f", or set fixed=[{','.join(missing)}]"
            raise self._wrong(
                f"has no parameter for {', '.join(missing)}", f"add {'them' if missing[1:] else 'it'}{fixed}"
            )
        offered = dict.fromkeys([*hyperparameters, "seed", "report", "run"])
        known = {*arguments_of(function, offered, self.names), *self.kwargs}
        if unknown := {name for name, parameter in named.items() if parameter.default is parameter.empty} - known:
            problem = f"needs {', '.join(sorted(unknown))}, which the search space does not have"
            given = "start.NAME" if self.given is None else "start or kwargs"
            raise self._wrong(problem, f"give the parameter a default, or a value by {given}")

    def code(self) -> dict[str, str]:
        """Checksums of the function's code and of its fixed arguments, by name."""
        return code_of(self.function) | settings_of(self.kwargs)

    def fingerprint(self) -> str:
        """Empty: the data of a user's function are unknown."""
        return ""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        return None


def _is_pruned(error: Exception) -> bool:
    """Whether this is optuna.TrialPruned, the habit of Optuna's users; Optuna itself need not be imported for it."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == PRUNED for kind in type(error).__mro__)


class _Caught(Exception):
    """An exception of the user's function that counts as diverged, in one line."""
