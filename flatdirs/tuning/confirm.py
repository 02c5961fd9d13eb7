"""Confirmation: the winner and the start trained again with new seeds, and whether these support the winner.

Seeds are the same for both, so differences are paired. Runs already stored are kept.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flatdirs.backend.study import Study
from flatdirs.backend.table_rows import Winner
from flatdirs.objectives.base import Progress, RunInfo
from flatdirs.tuning.formatting import shown_setting, value_text
from flatdirs.tuning.settings import TuneConfig

FRESH = 1000  # the first seed of confirmation runs, beyond those of the search

Values = Sequence[float | None]  # one a seed; None for a run that diverged


@dataclass(frozen=True)
class Doubt:
    """A sentence on a winner that new seeds do not support, and whether they say that the start is better."""

    sentence: str
    start_is_better: bool


def confirm(
    config: TuneConfig,
    study: Study,
    best: Winner | None,
    deadline: float,
    confirming: Callable[[str, int, int], None],
    progress: Progress,
    folder: Path | None = None,
) -> dict[str, list[float | None]]:
    """Train the winner and the start again with new seeds, evaluated on the test set.

    No run is started that would end after `deadline` (time.monotonic); none at all while other workers are running, or
    where it could only give the same value.
    """
    if best is None or not config.limits.confirm or study.at_work() or study.deterministic:
        return {}
    wanted = {"winner": dict(best.hyperparameters), "start": dict(config.plan.grid.start)}
    if wanted["winner"] == wanted["start"]:
        del wanted["start"]
    confirmed: dict[str, list[float | None]] = {}
    seconds = (seconds_per_run(study, None) or 0.0) / config.repeats
    for what, hyperparameters in wanted.items():
        for number in range(config.limits.confirm):
            seed = config.plan.seed + FRESH + number
            key = f"{','.join(f'{k}={shown_setting(v)}' for k, v in hyperparameters.items())};seed={seed}"
            if key not in study.confirmations():
                if time.monotonic() + seconds > deadline:
                    return confirmed
                confirming(what, number + 1, config.limits.confirm)
                run = RunInfo(study.name, None, f"confirm-{what}-{number + 1}", folder)
                found = config.objective.measure(hyperparameters, [seed], progress, final=True, run=run)
                study.confirm(key, found)
            record = study.confirmations()[key]
            confirmed.setdefault(what, []).append(record["value"] if record["state"] == "finished" else None)
    return confirmed


def fresh(config: TuneConfig) -> str:
    """How a confirmation run differs from those of the search: with new seeds, or by being made again."""
    return "with new seeds" if config.objective.takes_seed else "by fresh runs"


def doubt_of(confirmed: Mapping[str, Values], maximize: bool, unit: str, how: str = "with new seeds") -> Doubt | None:
    """What the new seeds say against the winner; None if nothing.

    The start is better if the mean of the paired differences exceeds their standard error, or if the winner diverges
    more often. A winner that diverges less often than the start is not doubted.
    """
    if len(confirmed) < 2:
        return None
    winners, starts = confirmed["winner"], confirmed["start"]
    lost, start_lost = (sum(value is None for value in values) for values in (winners, starts))
    if lost * len(starts) > start_lost * len(winners):
        told = f"the winner diverged in {lost} of {len(winners)} runs, the start in {start_lost} of {len(starts)}"
        return Doubt(f"{how} {told}", True)
    pairs = [(w, s) for w, s in zip(winners, starts, strict=False) if w is not None and s is not None]
    gains = [winner - start if maximize else start - winner for winner, start in pairs]
    if not gains or lost * len(starts) < start_lost * len(winners) or (gain := statistics.fmean(gains)) > 0:
        return None
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    if -gain > error:
        by = f"{value_text(-gain, unit, 3)} ± {value_text(error, unit, 2)} (standard error)"
        return Doubt(f"{how} the start is better than the winner by {by}", True)
    noise = "seed noise" if "seed" in how else "noise"
    why = f"the gain is not distinguishable from {noise}"
    why = why if len(gains) > 1 else "one run is too few to tell"
    return Doubt(f"{how} the winner is no better than the start: {why}", False)


def seconds_per_run(study: Study, expected: float | None) -> float | None:
    """The mean wall time of the study's runs, storage included; `expected` before there are any."""
    ends = [(trial.datetime_start, trial.datetime_complete) for trial, _ in study.runs()]
    seconds = [(end - start).total_seconds() for start, end in ends if start is not None and end is not None]
    return statistics.fmean(seconds) if seconds else expected
