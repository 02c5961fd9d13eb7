"""`flatdirs.tune(train, start, …)`: tune a Python function in a script or a notebook.

    arguments → TuneConfig → tuning/loop.py → SearchResult

The same loop as the command's, so a study resumes, decides and writes best.yaml in the same way.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from flatdirs.backend.pruner_settings import PRUNERS, Pruning
from flatdirs.backend.storages import path_of, storage_at
from flatdirs.backend.study import Study
from flatdirs.backend.trial_runs import OUTCOME, REASON, SETTING
from flatdirs.backend.trials import PROVENANCE
from flatdirs.config.prior import with_prior
from flatdirs.config.values import read_study_name
from flatdirs.errors import ConfigError
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.signature import find_function
from flatdirs.report.live import Report
from flatdirs.report.search_result import SearchResult, TunedRun
from flatdirs.setting_checks import require_boolean, require_choice, require_integer, require_number, wrong
from flatdirs.space.names import canonical
from flatdirs.training.task import DataConfig
from flatdirs.tuning import loop
from flatdirs.tuning.python_plan import PythonPlan, Range, python_plan
from flatdirs.tuning.settings import UNTIL, Limits, TuneConfig
from flatdirs.tuning.tuner import Tuner
from flatdirs.tuning.workers import refuse_torchrun

__all__ = ["SearchResult", "tune"]


def tune(
    train: Callable[..., Any] | str,
    start: Mapping[str, Any],
    *,
    direction: str,
    budget: int = 25,
    storage: str | os.PathLike[str] | None = None,
    study: str | None = None,
    output: str | os.PathLike[str] = "studies",
    confirm: int = 6,
    names: Mapping[str, str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    fixed: Iterable[str] = (),
    ranges: Mapping[str, Range] | None = None,
    choices: Mapping[str, Sequence[Any]] | None = None,
    optimizer: str | None = None,
    search: str = "flatdirs",
    seed: int = 0,
    repeats: int = 1,
    deterministic: bool | None = None,
    target: float | None = None,
    minutes: float | None = None,
    until: str = "budget",
    pruner: str | Pruning = "none",
    catch: bool = False,
    prior: str | os.PathLike[str] | None = None,
    stale_minutes: float = 30.0,
    progress: bool = True,
) -> SearchResult:
    """Find good hyperparameters of `train` in few runs. The same call goes on with the same study.

    Args:
        train: your function, train(lr, wd, …) → number, or "package.module:function". It gets each hyperparameter that
            it has a parameter for (`learning_rate` or `lr`), and `seed`, `report(step, value)` and `run` (its number,
            folder and device) if it takes them. Without `seed`, each call counts as a fresh draw.
        start: the hyperparameters to begin with, such as {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}; these are tuned.
        direction: "maximize" or "minimize".
        budget: runs of the search; those of `confirm` are extra.
        storage: the path of a journal file, a URL such as sqlite:///study.db, or None for memory.
        study: its name; None for that of the function.
        output: the folder that gets a folder for each study, with best.yaml.
        confirm: fresh seeds at most with which incumbent, runner-up and start are run at the end; the start is replaced
            only by one that leads it by more than two standard errors. 0 for none, else 4 or more.
        names: hyperparameter → your function's parameter, where it is none of the usual names.
        kwargs: other arguments of your function, the same in every call.
        fixed: hyperparameters of `start` that are not tuned.
        ranges: name → (low, high), or (low, high, "log" | "linear" | "logit").
        choices: name → what to choose from, such as {"optimizer": ["sgd", "adamw"]}.
        optimizer: "sgd", "adamw", "adam" (coupled L2) or "muon", which decides how lr and wd go together.
        search: "flatdirs", "myrtle", "raw", or one of Optuna's: random, tpe, qmc, gp, cmaes.
        seed: the first seed of your function, and that of random searches.
        repeats: seeds per point, whose mean counts.
        deterministic: whether the same settings always give the same value, so that nothing is run twice; None: where
            the function takes no seed, two runs of one setting show it.
        target, minutes: stop at the first run that reaches this value; start no run that would end later, and keep
            time for the race, unless that is too short for one.
        until: "budget", or "converged" to stop before it where less than half a run's noise is left to gain.
        pruner: "none", "rungs", "hyperband", "wandb" or "incumbent", or its settings; judged by what `report` is told.
        catch: an exception in your function counts as a diverged run, instead of ending the search.
        prior: an earlier study to begin from: its name in `storage` (in `output` where that is None), or the path of
            its folder or file. Its runs inform the model until runs here say otherwise, and what it handed over is
            run after the start.
        stale_minutes: silence after which a worker on another machine counts as gone.
        progress: print what is being run.

    Raises:
        ConfigError, ChartError, StudyError, ObjectiveError: one sentence each, `key` is the argument to change. An
            exception of your own function is the ObjectiveError's cause; the same call goes on after it is corrected.
    """
    refuse_torchrun(os.environ, "run it outside torchrun, and start torchrun in your function")
    require_choice("direction", direction, ("maximize", "minimize"))
    require_boolean("catch", catch)
    require_number("stale_minutes", stale_minutes, 0, above=True)
    objective = _objective(train, names, kwargs, catch)
    told = False if deterministic is None and objective.takes_seed else deterministic
    found = python_plan(start, optimizer, fixed, ranges, choices, search, seed, told, names)
    chart = found.plan.grid.chart
    known = [*chart.hyperparameters, *chart.choices]
    if unknown := [name for name in objective.names if name not in (*known, "seed", "report")]:
        raise wrong("names", unknown[0], f"names no hyperparameter of the start, which has {', '.join(known)}")
    objective.check(known, [*chart.free, *chart.open_choices])
    name = objective.task.name
    config = TuneConfig(
        study=read_study_name(name if study is None else study),
        output=Path(path_of("output", output)),
        storage=storage_at(storage, stale_minutes),
        chart=found.chart,
        plan=found.plan,
        objective=objective,
        task=objective.task,
        data=DataConfig(),
        limits=_limits(budget, target, minutes, confirm, until, search, told),
        maximize=direction == "maximize",
        repeats=_whole("repeats", repeats, 1),
        pruning=_pruning(pruner),
        live=None if progress else False,
        workers=1,
        direction=direction,
        prior=None if prior is None else path_of("prior", prior),
    )
    report = _Collecting(found, None if progress else Console(quiet=True))
    try:
        loop.tune(with_prior(config, config.plan.grid.start, report.say), report)
    finally:
        report.close()
    assert report.result is not None
    return report.result


class _Collecting(Report):
    """The report of a command, which also keeps what the search found."""

    def __init__(self, found: PythonPlan, console: Console | None) -> None:
        super().__init__(None, console)
        self._found = found
        self.result: SearchResult | None = None

    def end(self, config: TuneConfig, study: Study, result: loop.Result) -> None:
        """Keep the result while the study is open, then show the closing table."""
        self.result = _result(self._found, config, study, result)
        super().end(config, study, result)


def _result(found: PythonPlan, config: TuneConfig, study: Study, result: loop.Result) -> SearchResult:
    tuner, findings, chart = Tuner.of(study, found.spelling), study.findings(), found.plan.grid.chart
    verdict = result.verdict
    logs = [name for name in chart.hyperparameters if _on_log_axis(found, name)]
    return SearchResult(
        study=config.study,
        direction="maximize" if config.maximize else "minimize",
        tuned=tuple(
            TunedRun(
                number,
                found.spelled(trial.user_attrs[SETTING]["hyperparameters"]),
                trial.user_attrs[OUTCOME]["value"] if run.state == "finished" else None,
                run.state,
                trial.user_attrs.get(PROVENANCE, {}).get("seconds"),
                str(trial.user_attrs.get(REASON, "")),
            )
            for number, trial, run in study.numbered_runs()
        ),
        best_expected=tuner.best_expected,
        best_observed=tuner.best_observed,
        confirmed={name: list(values) for name, values in result.confirmed.items()},
        flatness=() if findings is None else findings.flatness,
        stopped=result.reason,
        verdict=verdict and replace(verdict, hyperparameters=found.spelled(verdict.hyperparameters)),
        log_scale=frozenset(found.spelling.get(name, name) for name in logs),
    )


def _on_log_axis(found: PythonPlan, name: str) -> bool:
    chart = found.plan.grid.chart
    return name not in chart.one_minus and (name not in chart.scales or chart.scales[name].kind == "log")


def _objective(
    train: Callable[..., Any] | str, names: Mapping[str, str] | None, kwargs: Mapping[str, Any] | None, catch: bool
) -> CallableObjective:
    """The function as an objective. Raises ConfigError for what is neither a function nor the path of one."""
    for key, told in (("names", names), ("kwargs", kwargs)):
        if told is not None and not (isinstance(told, Mapping) and all(isinstance(name, str) for name in told)):
            raise wrong(key, told, "must be a mapping from names")
    own = {canonical(name): parameter for name, parameter in (names or {}).items()}
    if isinstance(train, str):
        name, given = train.rpartition(":")[2], find_function(train, "train")
        return CallableObjective(
            CallableTask(_plain_name(name), train, catch=catch), None, given, own, dict(kwargs or {})
        )
    if not callable(train):
        raise wrong("train", repr(train), "is no function", remedy="give a function, or the path of one")
    inner: Any = inspect.unwrap(train)
    while isinstance(inner, partial):
        inner = inner.func
    known = inner if hasattr(inner, "__qualname__") else type(inner)
    path = f"{known.__module__}:{known.__qualname__}"
    task = CallableTask(_plain_name(known.__name__), path, catch=catch)
    return CallableObjective(task, given=train, names=own, kwargs=dict(kwargs or {}))


def _plain_name(name: str) -> str:
    return re.sub(r"\W", "", name) or "function"


def _limits(
    budget: int,
    target: float | None,
    minutes: float | None,
    confirm: int,
    until: str,
    search: str,
    deterministic: bool | None,
) -> Limits:
    if target is not None:
        require_number("target", target, float("-inf"))
    if minutes is not None:
        require_number("minutes", minutes, 0, above=True)
    require_choice("until", until, UNTIL)
    if until == "converged" and search != "flatdirs":
        raise wrong("until", until, f"needs search=flatdirs: search={search} has no model of what is left to gain")
    if until == "converged" and deterministic:
        raise wrong("until", until, "needs runs with noise, which deterministic=True has not")
    return Limits(_whole("budget", budget, 1), target, minutes, _whole("confirm", confirm, 0), until)


def _whole(key: str, value: int, least: int) -> int:
    require_integer(key, value, least)
    return int(value)


def _pruning(pruner: str | Pruning) -> Pruning:
    if isinstance(pruner, Pruning):
        return pruner
    if pruner not in PRUNERS:
        raise ConfigError(f"pruner={pruner} must be one of {', '.join(PRUNERS)}; change pruner", key="pruner")
    return PRUNERS[pruner]()
