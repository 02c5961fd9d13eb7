"""One batch of jobs through the app's own launcher, and what came of each.

A job that raised, returned no number, or took its launcher down has failed (`Answer.failure`); what to do about it is
_search.py's. A value that is nan or infinite is a result: the job diverged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flatdirs.objectives.base import Measurement
from flatdirs.tuning.formatting import hydra_text

if TYPE_CHECKING:
    import optuna
    from hydra.core.utils import JobReturn

    from hydra_plugins.flatdirs_sweeper.sweeper import FlatdirsSweeper

MEMORY = ("out of memory", "OutOfMemory", "MemoryError")


@dataclass(frozen=True)
class Job:
    """A trial on its way. `overrides`: all that the app is given, those of the command line first."""

    trial: optuna.Trial
    hyperparameters: Mapping[str, Any]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a job gave. `value`: nan where it diverged; `failure`: why there is none; `error`: the job's exception."""

    number: int
    seconds: float
    value: float = math.nan
    failure: str | None = None
    error: BaseException | None = None

    @property
    def out_of_memory(self) -> bool:
        """Whether it ran out of memory."""
        return any(sign in f"{type(self.error).__name__}: {self.error}" for sign in MEMORY)

    def measurement(self) -> Measurement:
        """The result to keep; a failure counts as diverged."""
        state, value = ("finished", self.value) if math.isfinite(self.value) else ("diverged", None)
        kept = {"job": self.number, **({"failure": self.failure} if self.failure else {})}
        return Measurement(state, value, seconds=self.seconds, provenance=kept)  # type: ignore[arg-type]


def override(key: str, value: Any) -> str:
    """key=value in Hydra's grammar; a float keeps its point."""
    text = hydra_text(value)
    return f"{key}={text}.0" if isinstance(value, float) and text.lstrip("-").isdigit() else f"{key}={text}"


def launch(sweeper: FlatdirsSweeper, jobs: Sequence[Job], first_number: int) -> list[Answer] | BaseException:
    """Run a batch to its end; what each job gave, or the exception that ended the launcher.

    Raises Hydra's own exceptions for overrides that cannot be composed.
    """
    batch = [list(job.overrides) for job in jobs]
    sweeper.validate_batch_is_legal(batch)
    assert sweeper.launcher is not None
    began = time.monotonic()
    try:
        returns = sweeper.launcher.launch(batch, initial_job_idx=first_number)
    except (Exception, SystemExit) as error:  # a killed process, or a job that calls sys.exit
        return error
    seconds = time.monotonic() - began
    return [_answer(one, number, seconds) for number, one in enumerate(returns, first_number)]


def ended_launcher(error: BaseException, number: int) -> Answer:
    """The answer of a job with which the launcher ended."""
    said = f"called sys.exit({error.code})" if isinstance(error, SystemExit) else f"ended with {_named(error)}"
    return Answer(number, 0.0, failure=said, error=error)


def _answer(returned: JobReturn, number: int, seconds: float) -> Answer:
    value = returned._return_value  # the property raises what the job raised
    if returned.status.name != "COMPLETED":
        return Answer(number, seconds, failure=f"raised {_named(value)}", error=value)
    try:
        found = math.nan if value is None or isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        value, found = type(value).__name__, math.nan
    else:
        if value is not None and not isinstance(value, (bool, str)):
            return Answer(number, seconds, found)
    return Answer(number, seconds, failure=f"returned {value} from main, where the objective value must be a number")


def _named(error: Any) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
