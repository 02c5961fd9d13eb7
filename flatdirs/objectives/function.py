"""A user's function as the objective: `train(lr, momentum, wd, seed, report) → number`.

The function gets every hyperparameter that it has a parameter for, under the short or the long name
(`learning_rate`, `weight_decay`), and `seed` and `report` if it takes them; its parameters are checked before the first
run. NaN and infinity count as diverged. An exception is a bug and passes through, unless `task.catch` makes it count as
diverged. If the pruner stops a run, `report` raises Stopped inside the function.
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
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flatdirs.errors import FlatdirsError, ObjectiveError
from flatdirs.objectives.base import Measurement, Progress, RunInfo
from flatdirs.objectives.provenance import provenance
from flatdirs.setting_checks import wrong
from flatdirs.space.names import all_names, canonical

MOST_ERROR = 200  # characters of an exception that are kept with the trial
MOST_CURVE_POINTS = 500  # reports that are kept with the trial


class Stopped(Exception):
    """Raised by `report` in a run that the pruner stops; the function may clean up and must let it pass."""


@dataclass(frozen=True)
class CallableTask:
    """conf/task/callable.yaml. `function` is package.module:function."""

    name: str
    function: str
    unit: str = ""
    catch: bool = False


@dataclass(frozen=True)
class CallableObjective:
    """A user's function. NaN, infinity and (with `task.catch`) exceptions count as diverged."""

    task: CallableTask
    total: int | None = None

    @property
    def unit(self) -> str:
        return self.task.unit

    def measure(
        self,
        hyperparameters: Mapping[str, Any],
        seeds: Sequence[int],
        progress: Progress,
        final: bool = False,
        run: RunInfo | None = None,
    ) -> Measurement:
        """Call the function once per seed. Raises ObjectiveError if it does not return a number."""
        function = find_function(self.task.function)
        began, values, stopped = time.perf_counter(), list[float](), False
        curve: list[dict[str, float]] = []
        errors: list[str] = []
        for number, seed in enumerate(seeds):
            before = len(curve)

            def report(step: int, value: float, number: int = number, seed: int = seed, before: int = before) -> None:
                try:
                    of_seed = {"seed": seed} if len(seeds) > 1 else {}
                    curve.append({"step": float(step), "value": float(value), **of_seed})
                except (TypeError, ValueError) as error:
                    problem = f"called report({step!r}, {value!r}), which takes two numbers, step and value"
                    raise self._wrong(problem) from error
                if progress(len(curve) - before, None, float(value), number):
                    raise Stopped

            try:
                offered = {**hyperparameters, "seed": seed, "report": report}
                values.append(self._call(function, _arguments(function, offered), errors))
            except Stopped:
                stopped = True
                break
        value = math.nan if stopped else statistics.fmean(values)
        finite = math.isfinite(value)
        return Measurement(
            "pruned" if stopped else "finished" if finite else "diverged",
            value if finite else None,
            partial=curve[-1]["value"] if stopped else None,
            seconds=time.perf_counter() - began,
            curve=tuple(curve[:: 1 + len(curve) // MOST_CURVE_POINTS]),
            provenance={
                "values": [v if math.isfinite(v) else repr(v) for v in values],
                "seeds": list(seeds),
                **({"error": errors[-1]} if errors else {}),
                **provenance(),
            },
        )

    def _call(self, function: Callable[..., Any], arguments: Mapping[str, Any], errors: list[str]) -> float:
        """The returned number; nan for an exception that `task.catch` catches, whose text is appended to `errors`."""
        try:
            value = function(**arguments)
        except (FlatdirsError, Stopped):
            raise
        except SystemExit as error:
            raise self._wrong(f"called sys.exit({error.code}) and must return a number") from error
        except Exception as error:
            if self.task.catch:
                errors.append(_shortened(error))
                return math.nan
            if isinstance(error, OSError):  # or it would be taken for an error of the study's storage
                raise RuntimeError(f"{self.task.function} raised {type(error).__name__}: {error}") from error
            raise
        try:
            if isinstance(value, (str, bytes, bool)):
                raise TypeError
            return float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            problem = f"returned {str(value)[:80]!r} ({type(value).__name__}) and must return a number"
            raise self._wrong(problem) from error

    def _wrong(self, problem: str, remedy: str = "") -> FlatdirsError:
        return wrong("task.function", self.task.function, problem, ObjectiveError, remedy)

    def check(self, hyperparameters: Sequence[str], searched: Sequence[str]) -> None:
        """Raise ObjectiveError unless the function can be imported and takes every searched hyperparameter."""
        function = find_function(self.task.function)
        given = _arguments(function, dict.fromkeys([*hyperparameters, "seed", "report"]))
        taken = {canonical(name) for name in given}
        if missing := [name for name in searched if canonical(name) not in taken]:
            fixed = "" if len(missing) == len(searched) else f", or set fixed=[{','.join(missing)}]"
            raise self._wrong(
                f"has no parameter for {', '.join(missing)}", f"add {'them' if missing[1:] else 'it'}{fixed}"
            )
        named = _named_parameters(function)
        if unknown := {name for name, parameter in named.items() if parameter.default is parameter.empty} - set(given):
            problem = f"needs {', '.join(sorted(unknown))}, which the search space does not have"
            raise self._wrong(problem, "give the parameter a default, or change chart")

    def fingerprint(self) -> str:
        """Empty: the data of a user's function are unknown."""
        return ""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        return None


def _shortened(error: Exception) -> str:
    """An exception in one short line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= MOST_ERROR else f"{text[: MOST_ERROR - 1]}…"


@lru_cache
def find_function(path: str) -> Callable[..., Any]:
    """Import `package.module:function`, looking in the working directory too. Raises ObjectiveError."""
    module_name, colon, name = path.partition(":")
    if not (colon and module_name and name):
        raise wrong("task.function", path, "must look like my_package.my_module:train", ObjectiveError)
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        reason = f"its module raises {type(error).__name__}: {error}"
        if isinstance(error, (ImportError, AttributeError, SyntaxError)):
            reason = str(error)  # of a SyntaxError with file and line
        raise wrong("task.function", path, f"cannot be imported ({reason})", ObjectiveError) from error
    if not callable(found):
        raise wrong("task.function", path, f"is a {type(found).__name__}, not a function", ObjectiveError)
    return found


def _parameters(function: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    """The parameters of a function. Raises ObjectiveError for built-in functions without a signature."""
    try:
        return inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise wrong("task.function", repr(function), "does not say which parameters it has", ObjectiveError) from error


def _named_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be passed by keyword."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name: parameter for parameter in _parameters(function) if parameter.kind in kinds}


def _arguments(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered values that a function has a parameter for, by the name that the parameter has.

    With **keywords it gets all others too, by their short names.
    """
    named = _named_parameters(function)
    all_others = any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(function))
    arguments = {}
    for name, value in offered.items():
        own = [spelling for spelling in all_names(canonical(name)) if spelling in named]
        arguments.update(dict.fromkeys(own or ([canonical(name)] if all_others else []), value))
    return arguments
