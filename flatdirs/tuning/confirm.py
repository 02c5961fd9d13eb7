"""The end of a search: the race of incumbent, runner-up and start on fresh seeds, and what is handed over.

    contenders → race, one seed at a time for all that are in it → Verdict

The rule is search/race.py's: the start is kept unless a candidate leads it clearly. A candidate is judged once: after
the last seed, or after the last that `minutes` allowed if those are enough to decide. How many that are does not depend
on who leads; a second look with more seeds would be another chance to replace the start by luck. So one that was
judged keeps the seeds it was judged by, in later races too, unless `confirm` is raised. A race that was interrupted, or
had time for too few seeds, has judged nothing: the runs stored are kept, and it goes on.

Nothing races where two runs of one point give the same value: the best observed is handed over if it is better than the
start's own run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from flatdirs.search.score_warping import ROUNDING
from flatdirs.tuning.best_text import lead_text
from flatdirs.tuning.failures import measured
from flatdirs.tuning.formatting import shown_setting, value_text
from flatdirs.tuning.settings import TuneConfig

FRESH = 1000  # the first seed of confirmation runs, beyond those of the search
RACERS = 3  # at most: incumbent, runner-up and start

Confirmed = dict[str, list[float | None]]  # by racer: the value of each fresh seed, None for a run that diverged


@dataclass(frozen=True)
class Race:
    """The values so far, and which candidates were not dropped."""

    values: Confirmed = field(default_factory=dict)
    racing: tuple[str, ...] = ()


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

    No run is started that would end after `deadline` (time.monotonic); none at all while other workers are running,
    where it could only give the same value, or where the time left is too short to decide on anything. The verdict is
    stored with the study.
    """
    entrants = _entrants(study)
    if not entrants:
        return None, {}
    found, unit = Race(), config.objective.unit
    if study.deterministic or not config.limits.confirm:
        verdict = without_race(study, unit, "there was no race (confirm=0)")
    elif study.at_work():
        verdict = without_race(study, unit, "other workers are still at it, and the last to end decides")
    elif (able := _in_time(config, study, entrants, deadline)) is None:
        verdict = without_race(study, unit, f"minutes={config.limits.minutes:g} leaves no time for a race")
    else:
        found = _race(config, study, able, deadline, confirming, progress, say, folder)
        verdict = _decided(config, study, able, found)
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


def _in_time(
    config: TuneConfig, study: Study, entrants: Mapping[str, dict[str, Any]], deadline: float
) -> Mapping[str, dict[str, Any]] | None:
    """Those who race: all, or the first candidate alone where the time left cannot decide on both.

    None where it cannot decide on one either. Who has begun to race goes on.
    """
    needed, first = needed_pairs(config.limits.confirm), config.plan.seed + FRESH
    stored, seconds, left = study.confirmations(), _seconds_of_race(config, study), dict(entrants)
    while len(left) > 1:
        keys = [_key(own, first + number) for own in left.values() for number in range(needed)]
        due, last = sum(key not in stored for key in keys), next(reversed(left))
        if _key(left[last], first) in stored or time.monotonic() + due * seconds <= deadline:
            return left
        del left[last]
    return left if len(entrants) == 1 else None


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
    """Run the race, all that are in it with one seed before the next; what is stored is not run again."""
    seconds = _seconds_of_race(config, study)
    values = {name: list[float | None]() for name in entrants}
    racing = [name for name in entrants if name != START]
    seeds = {name: _seeds_of(config, study, entrants[name]) for name in racing}
    for number in range(max(seeds.values(), default=0)):
        running = [name for name in racing if number < seeds[name]]
        seed, stored = config.plan.seed + FRESH + number, study.confirmations()
        keys = {name: _key(entrants[name], seed) for name in (START, *running)}
        due = [name for name, key in keys.items() if key not in stored]
        if not running or (due and time.monotonic() + len(due) * seconds > deadline):
            break
        for name in due:
            confirming(name, number + 1, max(seeds.values()))
            run = RunInfo(study.name, None, f"confirm-{name}-{number + 1}", folder)
            once = partial(config.objective.measure, entrants[name], [seed], progress, final=True, run=run)
            what = f"confirming run {number + 1} of the {name}"
            study.confirm(keys[name], measured(once, what, False, lambda: False, config.plan.grid.chart, say))
        stored = study.confirmations()
        for name, key in keys.items():
            values[name].append(stored[key]["value"] if stored[key]["state"] == "finished" else None)
        racing = still_racing(values, racing, config.maximize)
    return Race(values, tuple(racing))


def _seeds_of(config: TuneConfig, study: Study, hyperparameters: Mapping[str, Any]) -> int:
    """The seeds that a candidate may have: those by which it was judged, unless more are allowed now than were then."""
    judged, allowed = study.judged().get(_name(hyperparameters), (0, 0))
    return judged if config.limits.confirm <= allowed else config.limits.confirm


def _name(hyperparameters: Mapping[str, Any]) -> str:
    """Under what is stored that a candidate was judged."""
    return ",".join(f"{name}={shown_setting(value)}" for name, value in hyperparameters.items())


def _key(hyperparameters: Mapping[str, Any], seed: int) -> str:
    """Under what a confirmation run is stored."""
    return f"{_name(hyperparameters)};seed={seed}"


def _decided(config: TuneConfig, study: Study, entrants: Mapping[str, Mapping[str, Any]], race: Race) -> Verdict:
    """The verdict of a race, which time may have cut short; candidates with enough seeds are judged herewith."""
    seeds, values = config.limits.confirm, race.values
    needed, fewest = needed_pairs(seeds), min((len(values[one]) for one in race.racing), default=seeds)
    judged = {_name(entrants[one]): len(values[one]) for one in race.racing if len(values[one]) >= needed}
    study.keep_judged(judged, seeds)
    leads = {one: _lead(own, values[START], config.maximize) for one, own in values.items() if one != START}
    if (name := handed_over(values, race.racing, seeds, config.maximize)) != START:
        fresh = ", with fresh seeds" if config.objective.takes_seed else ""
        sentence = f"take the {name}: {lead_text(leads[name], config.objective.unit)}{fresh}"
        return _verdict(study, name, entrants[name], "race", sentence, leads)
    if fewest < needed:
        again = "call" if config.in_python else "command"
        few = f"had time for {fewest} of the {seeds_text(config, needed)} that it needs at least"
        sentence = f"keep your settings so far: the race is not finished; it {few}, and the same {again} goes on"
        return _verdict(study, START, entrants[START], "unfinished", sentence, leads)
    sentence = f"keep your settings: nothing found in {counted(len(study.runs()))} is distinguishably better"
    if fewest < seeds:
        sentence += f"; there was time for {fewest} of {seeds_text(config, seeds)}"
    return _verdict(study, START, entrants[START], "race", sentence, leads)


def _lead(candidate: list[float | None], start: list[float | None], maximize: bool) -> Lead:
    """The lead over the start; gains that differ by rounding errors of the values alone become equal."""
    found = lead(candidate, start, maximize)
    largest = max((abs(value) for value in (*candidate, *start) if value is not None), default=0.0)
    middle = statistics.median(found.gains or (0.0,))
    even = all(abs(gain - middle) <= ROUNDING * largest for gain in found.gains)
    return replace(found, gains=(middle,) * found.pairs) if even else found


def seeds_text(config: TuneConfig, count: int) -> str:
    """How many seeds of a race, such as "6 fresh seeds"; where the objective takes none, "6 runs"."""
    return f"{count} {'fresh seed' if config.objective.takes_seed else 'run'}{'' if count == 1 else 's'}"


def race_runs(config: TuneConfig, study: Study) -> int:
    """The most runs that the race may take; none where two runs of one point give the same value."""
    return 0 if study.deterministic else RACERS * config.limits.confirm


def reserved_runs(config: TuneConfig, study: Study, left: float) -> int:
    """For how many runs of the race time is kept, of the `left` that there is time for.

    For all that it may take, but for no more than the search has made, which so gets half of the time. None where that
    decides on no candidate: then the search gets all of it. One run more than decides, as runs differ in length.
    """
    one, made = 2 * needed_pairs(config.limits.confirm), config.repeats * len(study.runs())
    if made < one or left < one + 1:
        return 0
    return min(race_runs(config, study), max(one + 1, made))


def _seconds_of_race(config: TuneConfig, study: Study) -> float:
    """The wall time of one run of the race, by those of the search."""
    return (seconds_per_run(study, None) or 0.0) / config.repeats


def seconds_per_run(study: Study, expected: float | None) -> float | None:
    """The mean wall time of the study's runs, storage included; `expected` before there are any."""
    ends = [(trial.datetime_start, trial.datetime_complete) for trial, _ in study.runs()]
    seconds = [(end - start).total_seconds() for start, end in ends if start is not None and end is not None]
    return statistics.fmean(seconds) if seconds else expected
