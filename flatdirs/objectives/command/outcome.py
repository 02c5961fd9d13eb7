"""What the runs of a command come to: finished, diverged, pruned or failed; why; and what to say after the first.

In: `Done`, one per seed. Out: a `Measurement`; the loop decides what to do about one with a `failure`.
"""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flatdirs.objectives.base import Measurement, State
from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.metric_files import columns, newest_file
from flatdirs.objectives.command.metric_names import is_test_metric
from flatdirs.objectives.command.one_run import Done
from flatdirs.objectives.command.out_of_memory import ran_out_of_memory
from flatdirs.objectives.provenance import provenance

FEWEST_DIGITS = 3  # a metric printed with fewer cannot tell good settings from better ones
MOST_WRITTEN = 3  # files outside of its folder that are named
MOST_NAMES = 10  # numbers of the output that are named where the metric is not among them
STOPPED = {"minutes": "took longer than run.minutes", "diverged": "printed nan for the metric twice in a row"}


def outcome(done: Done, metric: MetricConfig) -> tuple[State, str | None]:
    """The state of a run, and why it failed where it did."""
    stopped = done.ended.stopped
    if stopped == "pruned":
        return "pruned", None
    if stopped in STOPPED or (done.value is not None and not math.isfinite(done.value)):
        return "diverged", None
    if done.ended.code != 0:
        return "diverged", _exit(done.ended.code)
    if done.value is None:
        return "diverged", _no_metric(done, metric)
    return "finished", None


def measurement(done: Sequence[Done], metric: MetricConfig, seeds: Sequence[int], seconds: float) -> Measurement:
    """The mean over seeds; the state of the last run, the first that did not finish."""
    last = done[-1]
    state, failure = outcome(last, metric)
    values = [one.value for one in done if one.value is not None and math.isfinite(one.value)]
    error = failure or STOPPED.get(last.ended.stopped or "")
    if state == "diverged" and error is None:
        error = f"ended with {metric.label} {last.value}"
    return Measurement(
        state,
        statistics.fmean(values) if state == "finished" else None,
        seconds=max(sum(one.ended.seconds for one in done), seconds),
        partial=_partial(last) if state == "pruned" else None,
        curve=_curve(done, seeds),
        provenance=_provenance(done, metric, seeds, error),
        failure=failure,
        log=last.log,
        out_of_memory=failure is not None and ran_out_of_memory(last.ended.code, last.log),
        notes=_notes(last, metric),
        written=last.written,
    )


def _no_metric(done: Done, metric: MetricConfig) -> str:
    """Why there is no value, with the names that the run did print."""
    if done.reader.ambiguous:
        names = " and ".join(done.reader.ambiguous)
        return f"printed {names}, and metric={metric.label} may be either (metric=NAME says which)"
    seen = list(done.reader.seen)
    if metric.file is not None:
        folders = (done.folder, Path.cwd())
        if newest_file(metric, folders, 0.0) is None:
            return f"ended, and there is no {metric.file} in {{run_dir}} or in the working directory"
        seen = columns(metric, folders, 0.0)
    names = f", but {', '.join(seen[:MOST_NAMES])}" if seen else ""
    return f"ended without a value of {metric.label}{names} (metric=NAME names another)"


def _exit(code: int | None) -> str:
    if code is None:
        return "was ended by somebody else"
    return f"exited with code {code}" if code > 0 else f"was ended by signal {-code}"


def _partial(done: Done) -> float | None:
    """The last value that a stopped run printed."""
    values = [one.value for one in done.reader.readings if math.isfinite(one.value)]
    return values[-1] if values else None


def _provenance(done: Sequence[Done], metric: MetricConfig, seeds: Sequence[int], error: str | None) -> dict[str, Any]:
    last = done[-1]
    return {
        "values": [None if one.value is None else _plain(one.value) for one in done],
        "seeds": list(seeds[: len(done)]),
        "command": shlex.join(last.argv),
        "folder": last.folder.name,
        "environment": dict(last.environment),
        **({"error": error} if error else {}),
        **({"test_set": True} if is_test_metric(metric.label) or last.reader.of_test_set else {}),
        **({"written": list(last.written)} if last.written else {}),
        **provenance(),
    }


def _curve(done: Sequence[Done], seeds: Sequence[int]) -> tuple[Mapping[str, float | None], ...]:
    """The values of the metric with their steps, and with the seed where there are several runs."""
    found = list[dict[str, float | None]]()
    for run, seed in zip(done, seeds, strict=False):
        of_seed = {"seed": seed} if len(done) > 1 else {}
        pairs = ((one.step, one.value) for one in run.reader.readings)
        found += [{"step": step, "value": value if math.isfinite(value) else None, **of_seed} for step, value in pairs]
    return tuple(found)


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _notes(done: Done, metric: MetricConfig) -> tuple[str, ...]:
    """What to say once, after the first run."""
    notes, seen = [], done.reader.metric_seen
    if seen is not None and 0 < seen.digits < FEWEST_DIGITS:
        digits = f"{seen.digits} digit{'s' if seen.digits > 1 else ''}"
        notes.append(f"{metric.label} is printed with {digits}: smaller differences cannot be seen")
    if done.written:
        names = ", ".join(done.written[:MOST_WRITTEN])
        more = f" and {len(done.written) - MOST_WRITTEN} more" if len(done.written) > MOST_WRITTEN else ""
        notes.append(f"the run wrote files outside its folder, which the next runs will find: {names}{more}")
        notes.append("where the command can write elsewhere, give it {run_dir}, as in --out {run_dir}")
    if done.ended.left_behind:
        notes.append(f"still running when the command had ended, and ended: {', '.join(done.ended.left_behind)}")
    return tuple(notes + ([done.problem] if done.problem else []))
