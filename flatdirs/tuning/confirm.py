"""The end of a search: the race of incumbent, runner-up and start on fresh seeds, and what is handed over.

    contenders → race, one seed at a time for all that are in it → Verdict

The rule is search/race.py's: the start is kept unless a candidate leads it clearly. Runs already stored are kept, so a
race that was cut short goes on. Nothing races where two runs of one point give the same value: the best observed is
handed over if it is better than the start's own run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flatdirs.backend.study import Study
from flatdirs.backend.table_rows import (
    Winner,
    contenders,
    counted,
    first_run,
    gap,
    winner,
)
from flatdirs.backend.verdict import INCUMBENT, RUNNER_UP, Basis, Verdict
from flatdirs.objectives.base import Progress, RunInfo
from flatdirs.search.race import START, Lead, handed_over, lead, needed_pairs, still_racing
from flatdirs.tuning.best_text import lead_text
from flatdirs.tuning.failures import measured
from flatdirs.tuning.formatting import shown_setting, value_text
from flatdirs.tuning.settings import TuneConfig

FRESH = 1000  # the first seed of confirmation runs, beyond those of the search
RACERS = 3  # at most: incumbent, runner-up and start

Confirmed = dict[str, list[float | None]]  # by racer: the value of each fresh seed, None for a run that diverged


@dataclass(frozen=True)
class Race:
    """The values so far, which candidates were not dropped, and whether nothing more will be run."""

    values: Confirmed = field(default_factory=dict)
    racing: tuple[str, ...] = ()
    over: bool = False


def hand_over(
    config: TuneConfig,
    study: Study,
    deadline: float,
    confirming: Callable[[str, int, int], None],
    progress: Progress,
    say: Callable[[str], None],
    folder: Path | None = None,
) -> tuple[Verdict | None, Confirmed]:
    """Race the candidates against the start, and decide; None before any result. Values are of the test set.

    No run is started that would end after `deadline` (time.monotonic); none at all while other workers are running, or
    where it could only give the same value. The verdict is stored with the study.
    """
    entrants = _entrants(study)
    if not entrants:
        return None, {}
    found, unit = Race(), config.objective.unit
    if study.deterministic or not config.limits.confirm:
        verdict = without_race(study, unit, "no fresh runs were made (confirm=0)")
    elif study.at_work():
        verdict = without_race(study, unit, "other workers are still at it, and the last to end decides")
    else:
        found = _race(config, study, entrants, deadline, confirming, progress, say, folder)
        verdict = _decided(config, study, entrants, found)
    assert verdict is not None
    study.keep_verdict(verdict)
    return verdict, {name: values for name, values in found.values.items() if values}


def without_race(study: Study, unit: str, why: str) -> Verdict | None:
    """What is handed over without a race, for this reason: the incumbent, unconfirmed; None before any result.

    Without noise none is needed: the best observed, if it is better than the run of the start.
    """
    if (incumbent := winner(study)) is None:
        return None
    if study.deterministic:
        return _by_value(study, unit, incumbent)
    if dict(incumbent.hyperparameters) == dict(study.plan.grid.start):
        sentence = f"keep your settings, unconfirmed: the runs of the search favour nothing else; {why}"
    else:
        sentence = f"unconfirmed, and perhaps no better than the start: {why}"
    return _verdict(study, INCUMBENT, incumbent.hyperparameters, "unconfirmed", sentence)


def _by_value(study: Study, unit: str, incumbent: Winner) -> Verdict:
    start, runs = dict(study.plan.grid.start), counted(len(study.runs()))
    own, best = first_run(study, start), first_run(study, incumbent.hyperparameters)
    if own is not None and (best is None or gap(own[2].value, best[2].value) <= 0):
        return _verdict(study, START, start, "deterministic", f"keep your settings: nothing in {runs} is better")
    by = "" if own is None or best is None else f" by {value_text(best[2].value - own[2].value, unit, 3)}"
    sentence = f"take the incumbent: better than the start{by}, and another run would give the same value"
    return _verdict(study, INCUMBENT, incumbent.hyperparameters, "deterministic", sentence)


def _verdict(
    study: Study,
    name: str,
    hyperparameters: Mapping[str, Any],
    basis: Basis,
    sentence: str,
    leads: Mapping[str, Lead] | None = None,
) -> Verdict:
    """The verdict that hands these over; the start under its own name, whichever candidate it was."""
    own = START if dict(hyperparameters) == dict(study.plan.grid.start) else name
    found = first_run(study, hyperparameters)
    run, trial = (None, None) if found is None else (found[0], found[1].number)
    return Verdict(own, dict(hyperparameters), basis, sentence, run, trial, leads or {})


def _entrants(study: Study) -> dict[str, dict[str, Any]]:
    """The hyperparameters of all that race, the start first; empty before any result."""
    start = dict(study.plan.grid.start)
    known = zip((INCUMBENT, RUNNER_UP), contenders(study), strict=False)
    found = {name: dict(one.hyperparameters) for name, one in known}
    return {START: start, **{name: own for name, own in found.items() if own != start}} if found else {}


def _race(
    config: TuneConfig,
    study: Study,
    entrants: Mapping[str, Mapping[str, Any]],
    deadline: float,
    confirming: Callable[[str, int, int], None],
    progress: Progress,
    say: Callable[[str], None],
    folder: Path | None,
) -> Race:
    """Run the race, all that are in it with one seed before the next; what is stored is not run again.

    Where the time left is too short for all to be decided, the runner-up stays out, unless it has begun.
    """
    seeds, first = config.limits.confirm, config.plan.seed + FRESH
    seconds = (seconds_per_run(study, None) or 0.0) / config.repeats
    if INCUMBENT in entrants and time.monotonic() + len(entrants) * needed_pairs(seeds) * seconds > deadline:
        begun = study.confirmations()
        entrants = {name: own for name, own in entrants.items() if name != RUNNER_UP or _key(own, first) in begun}
    values = {name: list[float | None]() for name in entrants}
    racing = [name for name in entrants if name != START]
    for number in range(seeds if racing else 0):
        seed, stored = first + number, study.confirmations()
        keys = {name: _key(entrants[name], seed) for name in (START, *racing)}
        due = [name for name, key in keys.items() if key not in stored]
        if due and time.monotonic() + len(due) * seconds > deadline:
            return Race(values, tuple(racing))
        for name in due:
            confirming(name, number + 1, seeds)
            run = RunInfo(study.name, None, f"confirm-{name}-{number + 1}", folder)
            once = partial(config.objective.measure, entrants[name], [seed], progress, final=True, run=run)
            what = f"fresh run {number + 1} of the {name}"
            study.confirm(keys[name], measured(once, what, False, lambda: False, config.plan.grid.chart, say))
        stored = study.confirmations()
        for name, key in keys.items():
            values[name].append(stored[key]["value"] if stored[key]["state"] == "finished" else None)
        racing = still_racing(values, racing, config.maximize)
        if not racing:
            break
    return Race(values, tuple(racing), over=True)


def _key(hyperparameters: Mapping[str, Any], seed: int) -> str:
    """Under what a confirmation run is stored."""
    return f"{','.join(f'{name}={shown_setting(value)}' for name, value in hyperparameters.items())};seed={seed}"


def _decided(config: TuneConfig, study: Study, entrants: Mapping[str, Mapping[str, Any]], race: Race) -> Verdict:
    """The verdict of a race, which may have been cut short."""
    seeds, runs = config.limits.confirm, counted(len(study.runs()))
    name = handed_over(race.values, race.racing, seeds, config.maximize)
    leads = {one: lead(own, race.values[START], config.maximize) for one, own in race.values.items() if one != START}
    basis: Basis = "race"
    sentence = f"keep your settings: nothing found in {runs} is distinguishably better"
    if name != START:
        sentence = f"take the {name}: {lead_text(leads[name], config.objective.unit)}, {fresh(config)}"
    elif not race.over:
        basis, done, needed = "unfinished", len(race.values[START]), needed_pairs(seeds)
        few = f", too few to decide ({needed} are needed)" if done < needed else ""
        sentence += f" so far; there was time for {done} of {seeds} fresh seeds{few}, and the same command goes on"
    return _verdict(study, name, entrants[name], basis, sentence, leads)


def fresh(config: TuneConfig) -> str:
    """How a confirmation run differs from those of the search: with new seeds, or by being made again."""
    return "with new seeds" if config.objective.takes_seed else "by fresh runs"


def race_runs(config: TuneConfig, study: Study) -> int:
    """The most runs that the race may take; none where two runs of one point give the same value."""
    return 0 if study.deterministic else RACERS * config.limits.confirm


def reserved_runs(config: TuneConfig, study: Study) -> int:
    """For how many runs of the race time is kept: for all that it may take, but for no more than the search has made.

    In any case for as many as decide on one candidate.
    """
    one, made = 2 * needed_pairs(config.limits.confirm), config.repeats * len(study.runs())
    return min(race_runs(config, study), max(one, made))


def seconds_per_run(study: Study, expected: float | None) -> float | None:
    """The mean wall time of the study's runs, storage included; `expected` before there are any."""
    ends = [(trial.datetime_start, trial.datetime_complete) for trial, _ in study.runs()]
    seconds = [(end - start).total_seconds() for start, end in ends if start is not None and end is not None]
    return statistics.fmean(seconds) if seconds else expected
