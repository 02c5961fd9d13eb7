"""A user's own function as the objective: `train(lr, momentum, wd, seed, report) → number`.

NaN and infinity count as diverged. An exception is a bug and goes through, unless `task.catch` says that it counts as
diverged too. Where the study's pruner gives a run up, `report` raises Stopped through the function. The function is
offered everything it has a parameter for, and is checked before the first run.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from flatdirs.errors import FlatdirsError, ObjectiveError
from flatdirs.objectives.image import Measurement, Progress
from flatdirs.objectives.provenance import provenance

MOST_ERROR = 200  # characters of an exception that are kept with the trial
MOST_CURVE_POINTS = 500  # of a user's reports that are kept with the trial


class Stopped(Exception):
    """Raised by `report` in a run that its study has given up; the function may clean up and let it pass."""


@dataclass(frozen=True)
class CallableTask:
    """A user's function as the task: `train(lr, momentum, wd, seed, report) → number`."""

    name: str
    function: str
    unit: str = ""
    catch: bool = False


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
        began, values, stopped = time.perf_counter(), [], False
        curve: list[dict[str, float]] = []
        caught: list[str] = []
        for number, seed in enumerate(seeds):
            before = len(curve)

            def report(step: int, value: float, number: int = number, seed: int = seed, before: int = before) -> None:
                try:
                    whose = {"seed": seed} if len(seeds) > 1 else {}
                    curve.append({"step": float(step), "value": float(value), **whose})
                except (TypeError, ValueError) as error:
                    raise ObjectiveError(
                        f"{self.task.function} called report({step!r}, {value!r}); it takes two numbers, step and value"
                    ) from error
                if progress(len(curve) - before, None, float(value), number):
                    raise Stopped

            offered = {**hyperparameters, "seed": seed, "report": report}
            try:
                taken = {k: v for k, v in offered.items() if k in _accepted(function, offered)}
                values.append(self._call(function, taken, caught))
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
                **({"error": caught[-1]} if caught else {}),
                **provenance(),
            },
        )

    def _call(self, function: Callable[..., Any], arguments: Mapping[str, Any], caught: list[str]) -> float:
        """The value; nan for an exception that `catch` lets pass, whose text `caught` takes."""
        try:
            value = function(**arguments)
        except (FlatdirsError, Stopped):
            raise
        except SystemExit as error:
            raise ObjectiveError(
                f"{self.task.function} called sys.exit({error.code}); it must return a number, change task.function"
            ) from error
        except OSError as error:  # not to be taken for a disk of ours that is full
            if self.task.catch:
                caught.append(_told(error))
                return math.nan
            raise RuntimeError(f"{self.task.function} raised {type(error).__name__}: {error}") from error
        except Exception as error:
            if self.task.catch:
                caught.append(_told(error))
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


def _told(error: Exception) -> str:
    """An exception in one short line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= MOST_ERROR else f"{text[: MOST_ERROR - 1]}…"


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
