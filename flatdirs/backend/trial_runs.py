"""Where a trial becomes a run: which trials count, and what each says.

What our own objectives wrote (under `flatdirs:`) counts, whatever state the trial was left in; a trial of ours without
an outcome was interrupted and says nothing. For other objectives the state of the trial decides: a finished
value, a pruned run, or a failure that did not end the study (NaN, or an exception that `catch` let pass), which counts
as diverged. A failure that ended `optimize` was an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flatdirs.backend import claims
from flatdirs.backend.liveness import is_gone
from flatdirs.search.types import Run, RunId
from flatdirs.space.chart import Point

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SETTING = "flatdirs:setting"  # hyperparameters, coordinates and seeds; written by our objectives when a run begins
OUTCOME = "flatdirs:outcome"  # state, value, loss …; written by our objectives when a run has ended
REASON, MOVE, AXIS = "flatdirs:reason", "flatdirs:move", "flatdirs:axis"  # written when a trial is suggested
INCUMBENT = "flatdirs:incumbent"  # the hyperparameters of the incumbent at that time
INCUMBENT_VALUE = "flatdirs:incumbent_value"  # the mean of its runs at that time, in the unit of the study
REPLICATE = "flatdirs:replicate"  # the number of the replicate, where it is not the first run of its point


def run_of(
    trial: FrozenTrial, maximize: bool, failure_counts: bool = True, point: Point = (), replicate: int = 0
) -> Run | None:
    """The run that a trial was, or None while it runs or waits, or after it was interrupted.

    Values are higher-is-better whichever way the study optimises. `failure_counts`: see `counts_as_result`.
    """
    written = trial.user_attrs.get(OUTCOME)
    sign = 1.0 if maximize else -1.0
    if written is not None:
        value = written.get("partial" if written["state"] == "pruned" else "value")
        known = (written.get(key) for key in ("loss", "at_chance", "timescales"))
        return Run(point, -math.inf if value is None else sign * value, written["state"], replicate, *known)
    if SETTING in trial.user_attrs:
        return None
    state = trial.state.name
    if state == "COMPLETE" and trial.value is not None and math.isfinite(trial.value):
        return Run(point, sign * trial.value, "finished", replicate)
    if state == "PRUNED":
        return Run(point, math.nan if trial.value is None else sign * trial.value, "pruned", replicate)
    if state == "COMPLETE" or (state == "FAIL" and failure_counts):
        return Run(point, state="diverged", replicate=replicate)
    return None


def claimed_id(trial: FrozenTrial) -> RunId | None:
    """The point and replicate that one of our own trials claimed."""
    claim = claims.read(trial) or {}
    point = claim.get("point")
    return None if point is None else (tuple(point), int(claim.get("replicate", 0)))


def counts_as_result(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a failed trial is a result (NaN, an exception that `catch` let pass), not an interruption.

    The sampler that claimed the trial has written which (claims.note_failure). Where another sampler closed it, or a
    heartbeat ran out, it is a result if the process that ran it is alive on this machine or went on after it.
    """
    if trial.state.name != "FAIL":
        return True
    if (noted := trial.system_attrs.get(claims.FAILURE)) is not None:
        return bool(noted == claims.RESULT)
    claim = claims.read(trial)
    if claim is None or "worker" not in claim:
        return True
    if not is_gone(claim["worker"], claim["time"], stale_seconds=0.0):
        return True
    end = math.inf if trial.datetime_complete is None else trial.datetime_complete.timestamp()
    later = ((claims.read(other) or {}) for other in trials[trial.number + 1 :])
    return any(other.get("worker") == claim["worker"] and other["time"] > end for other in later)
