"""`prior=STUDY`: a search that begins from an earlier study, whose runs are carried over to this one's setup.

    TuneConfig with prior ─ earlier_study.py: runs and what was handed over, carried over ─► TuneConfig with both

The start becomes what it handed over, where none is told. Its runs become one prior mean of the search's model among
others (search/known.py). Both are stored with this study, which then needs the earlier one no more.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flatdirs.backend.search_plan import plan_of
from flatdirs.backend.table_rows import counted
from flatdirs.backend.trials import made_otherwise
from flatdirs.config.earlier_study import Taken, taken_from
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.search.known import FEWEST, BayesSettings
from flatdirs.search.types import EarlierRun
from flatdirs.setting_checks import wrong
from flatdirs.space.grid import Grid
from flatdirs.tuning.formatting import assignments
from flatdirs.tuning.own_storage import own_identity
from flatdirs.tuning.settings import TuneConfig
from flatdirs.tuning.start import Say


def with_prior(config: TuneConfig, told: Collection[str], say: Say) -> TuneConfig:
    """The configuration with the runs and the start that an earlier study gives; as it is without `prior`.

    A study that has begun keeps those it began with. `told`: the hyperparameters whose start the user gave and keeps;
    what the earlier study handed over is then the second run.

    Raises:
        StudyError: there is no such study, it has no finished runs, or this study began with another one.
        ConfigError: another search than flatdirs, the study itself, nothing in common, or no rule to carry it over by.
        ChartError: what it handed over lies out of the bounds of this search.
    """
    if config.prior is None:
        return config
    config = replace(config, prior=_short(config.prior, config))
    if not isinstance(config.plan.settings, BayesSettings):
        problem = f"needs search=flatdirs: search={config.plan.name} has no model that could use it"
        raise wrong("prior", config.prior, problem, remedy="remove it")
    if config.prior == config.study and config.storage.kind != "memory":
        raise wrong("prior", config.prior, "is this study itself", remedy="set it to an earlier one, or remove it")
    if kept := own_identity(config):
        return _as_begun(config, kept, told, say)
    taken = taken_from(config)
    new = _with_start(config, taken.handed_over, told)
    grid = new.plan.grid
    every = [EarlierRun({**grid.start, **setting}, value) for setting, value in taken.runs]
    places = [grid.place(run.hyperparameters) for run in every]
    runs = [run for run, place in zip(every, places, strict=True) if place is not None]
    if len(set(places) - {None}) < FEWEST:
        problem = f"has {counted(len(runs))} that this search can use, and runs of two settings are needed"
        raise wrong("prior", config.prior, problem)
    second, role = _second_run(grid, taken.handed_over)
    say(_story(config, taken, len(runs), role))
    return _with_runs(new, runs, second)


def _second_run(grid: Grid, handed_over: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What the earlier study handed over, unless that is the start or out of bounds; and what it is here, in words."""
    second = {**grid.start, **{name: value for name, value in handed_over.items() if name not in grid.chart.fixed}}
    if second == dict(grid.start):
        return None, "the start is"
    point = grid.place(second)
    if point is None or grid.out_of_bounds(point) is not None:
        return None, "out of the bounds of this search is what it handed over,"
    return second, "run 2 is"


def told_start(words: Sequence[str], config: TuneConfig) -> Collection[str]:
    """The hyperparameters whose start a command line gives: all of them where the user's own command is the start."""
    names = list(config.plan.grid.start)
    given = {word.lstrip("+").partition("=")[0] for word in words if not word.endswith("=null")}
    if "start" in given or isinstance(config.objective, CommandObjective):
        return names
    return [name for name in names if f"start.{name}" in given]


def _as_begun(config: TuneConfig, kept: Mapping[str, Any], told: Collection[str], say: Say) -> TuneConfig:
    """The configuration with what its study began with. Raises StudyError where that was another prior."""
    if kept.get("prior") != config.prior:
        raise made_otherwise(config.study, "prior", kept.get("prior"), config.prior)
    plan = plan_of(kept)
    assert isinstance(plan.settings, BayesSettings)
    runs = plan.settings.earlier
    say(f"prior={config.prior}: {counted(len(runs))}, as they were when study {config.study} began")
    return _with_runs(_with_start(config, plan.grid.start, told), runs, plan.settings.second)


def _with_start(config: TuneConfig, start: Mapping[str, Any], told: Collection[str]) -> TuneConfig:
    """The configuration with these values in its start but for those that were told; without words left."""
    grid = config.plan.grid
    own = {name: value if name in told else start.get(name, value) for name, value in grid.start.items()}
    return replace(config, plan=replace(config.plan, grid=Grid(grid.chart, own)), open_start={})


def _with_runs(config: TuneConfig, runs: Sequence[EarlierRun], second: Mapping[str, Any] | None) -> TuneConfig:
    """The configuration with these runs for its model, and this second run of its own."""
    assert isinstance(config.plan.settings, BayesSettings)
    settings = replace(config.plan.settings, earlier=runs, second=second)
    return replace(config, plan=replace(config.plan, settings=settings))


def _short(prior: str, config: TuneConfig) -> str:
    """The name of a study in this output folder, however it is told; the path of another one."""
    path = Path(prior)
    inside = os.sep in prior and path.absolute().parent == config.output.absolute()
    return path.name if inside else prior


def _story(config: TuneConfig, taken: Taken, count: int, role: str) -> str:
    """What was taken, in one line. `role`: of what the earlier study handed over."""
    of = "" if count == len(taken.runs) else f" of {len(taken.runs)}"
    others = [name for name in config.plan.grid.start if name not in taken.handed_over]
    rest = f"; {', '.join(others)} as in this start" if others else ""
    handed_over = assignments(taken.handed_over)
    return f"prior={config.prior}: {count}{of} runs of study {taken.study}, {taken.how}{rest}; {role} {handed_over}"
