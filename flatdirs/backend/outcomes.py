"""Reading runs back from a study: which trials count, and what each says.

What our own objective wrote (`outcome`, objective.py) is the truth, whatever state the trial was left in; one of ours
without it was interrupted and says nothing. Other people's objectives write nothing, so their trial states speak:
a finished value, a pruned run, and a failure that was swallowed (NaN, or an exception that `catch` let pass), which
counts as worst. A failure that ended `optimize` was an interruption. No optuna import here: trials are read, not made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flatdirs.backend import claims
from flatdirs.search import Key, Outcome

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SETTING = "setting"  # written by our objective when a run begins
OUTCOME = "outcome"  # written by our objective when a run has ended
INCUMBENT = "flatdirs:incumbent"  # written by the sampler: the hyperparameters it compares with, None for its start


def outcome_of(trial: FrozenTrial, maximize: bool, failure_counts: bool = True) -> Outcome | None:
    """What a trial tells a search, or None while it runs, waits, or after it was interrupted.

    Scores are higher-is-better whichever way the study optimises. `failure_counts`: see `swallowed`.
    """
    written = trial.user_attrs.get(OUTCOME)
    if written is not None:
        value = written.get("partial" if written["state"] == "pruned" else "value")
        score = -math.inf if value is None else (value if maximize else -value)
        known = (written.get(key) for key in ("loss", "at_chance", "relaxation"))
        return Outcome(written["state"], score, *known)
    if SETTING in trial.user_attrs:
        return None
    state = trial.state.name
    if state == "COMPLETE" and trial.value is not None and math.isfinite(trial.value):
        return Outcome("finished", trial.value if maximize else -trial.value)
    if state == "PRUNED":
        value = trial.value if trial.value is not None else math.nan
        return Outcome("pruned", value if maximize else -value)
    if state == "COMPLETE" or (state == "FAIL" and failure_counts):
        return Outcome("diverged")
    return None


def key_of(trial: FrozenTrial) -> Key | None:
    """The run that one of our own trials claimed: a grid point, and which repeat of it."""
    claim = claims.read(trial) or {}
    point, repeat = claim.get("point"), claim.get("repeat", 0)
    return None if point is None else (*point, repeat) if repeat else tuple(point)


def swallowed(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a failed trial is an answer (NaN, an exception that `catch` let pass), not an interruption.

    The sampler that claimed the trial has written which (claims.note_failure). Where another sampler was told of the
    failure (or a heartbeat ran out), it is an answer if the process that ran the trial lives here or went on after it.
    """
    if trial.state.name != "FAIL":
        return True
    if (noted := trial.system_attrs.get(claims.FAILURE)) is not None:
        return bool(noted == claims.ANSWER)
    claim = claims.read(trial)
    if claim is None or "worker" not in claim:
        return True
    if not claims.is_gone(claim["worker"], claim["time"], stale_seconds=0.0):
        return True
    end = math.inf if trial.datetime_complete is None else trial.datetime_complete.timestamp()
    later = ((claims.read(other) or {}) for other in trials[trial.number + 1 :])
    return any(other.get("worker") == claim["worker"] and other["time"] > end for other in later)
