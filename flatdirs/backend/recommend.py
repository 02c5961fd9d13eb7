"""`recommend`: the setting to use after a study that our sampler has run, by observation and by the model.

The highest of many noisy values is in part luck. The posterior mean, which all runs inform, is the better guess of what
another seed would give; both are named. Where `flatdirs tune` has ended the study, what it handed over stands above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from flatdirs.backend import optuna_private
from flatdirs.backend.sampler import SAMPLER, FlatDirectionsSampler
from flatdirs.backend.search_plan import plan_of
from flatdirs.backend.trial_runs import counts_as_result, run_of
from flatdirs.backend.trials import IDENTITY
from flatdirs.backend.verdict import Verdict, stored_verdict
from flatdirs.errors import StudyError
from flatdirs.search import SEARCHES
from flatdirs.search.known import BayesSettings
from flatdirs.search.prediction import best_expected
from flatdirs.search.types import Run
from flatdirs.space.shipped_charts import read_chart

if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class BestObserved:
    """The finished trial with the best value. `params`: as the study names them; `number`: the trial's."""

    params: Mapping[str, Any]
    value: float
    number: int


@dataclass(frozen=True)
class BestExpected:
    """The setting with the best posterior mean. `value`: that mean, in the unit of the objective.

    `interval`: 90 % of what the mean over seeds may be, the lower end first; None where the runs cannot tell, as with
    one run. `numbers`: of the trials at this setting; `params`: of the best of them.
    """

    params: Mapping[str, Any]
    value: float
    interval: tuple[float, float] | None
    numbers: tuple[int, ...]

    @property
    def replicates(self) -> int:
        """How many trials this setting has."""
        return len(self.numbers)


@dataclass(frozen=True)
class Recommendation:
    """What to use, and why: `reason`.

    `best_expected`: None where the search could place no trial. `handed_over`: the setting that `flatdirs tune` handed
    over at the end of this study, which may be its start, as the study names it; None where nothing was, or trials came
    after. Only that setting was compared with the start on fresh seeds (`verdict.confirmed`).
    """

    best_observed: BestObserved
    best_expected: BestExpected | None
    reason: str
    handed_over: Mapping[str, Any] | None = None
    verdict: Verdict | None = None

    @property
    def params(self) -> Mapping[str, Any]:
        """The setting to use, as the study names it: what was handed over, else the best expected or observed."""
        return self.handed_over or (self.best_expected or self.best_observed).params


def recommend(study: Study, sampler: FlatDirectionsSampler | None = None) -> Recommendation:
    """The best setting of a study, by observation and by the model of all its runs.

    `sampler`: the one whose chart and start count; by default the one that suggested the study's trials, which the
    study remembers. Raises StudyError where no trial has finished, or no sampler is known.
    """
    if optuna_private.has_several_objectives(study):
        raise StudyError("recommend needs a study with one objective; use study.best_trials", key="study")
    trials, maximize = optuna_private.all_trials(study), study.direction == StudyDirection.MAXIMIZE
    runs = {trial.number: run_of(trial, maximize, counts_as_result(trial, trials)) for trial in trials}
    finished = {number: run for number, run in runs.items() if run is not None and _has_value(run)}
    if not finished:
        raise StudyError(f"study {study.study_name} has no finished trial; run it first", key="study")
    best = trials[max(finished, key=lambda number: finished[number].value)]
    sign = 1.0 if maximize else -1.0
    observed = BestObserved(dict(best.params), sign * finished[best.number].value, best.number)
    expected = _by_model(study, sampler or _sampler_of(study), trials, sign)
    found = Recommendation(observed, expected, _reason(observed, expected, best))
    verdict = stored_verdict(optuna_private.study_attributes(study), sum(one is not None for one in runs.values()))
    if verdict is None or verdict.trial is None:
        return found
    reason = f"{verdict.sentence}; {found.reason}"
    return replace(found, reason=reason, handed_over=dict(trials[verdict.trial].params), verdict=verdict)


def _has_value(run: Run) -> bool:
    return run.state == "finished" and math.isfinite(run.value)


def _by_model(
    study: Study, sampler: FlatDirectionsSampler, trials: list[FrozenTrial], sign: float
) -> BestExpected | None:
    """The setting with the best posterior mean over all trials that have a place on the chart."""
    view = sampler.reader(study, between=True).view(trials, len(trials), math.inf)
    settings = sampler.settings if isinstance(sampler.settings, BayesSettings) else None
    found = None if view.grid is None else best_expected(view.grid, view.runs, settings)
    if found is None:
        return None
    own = {n: run.value for n, run in zip(view.numbers, view.runs, strict=True) if run.point == found.point}
    params = trials[max(own, key=lambda number: own[number])].params
    ends = found.interval and sorted(sign * end for end in found.interval)
    interval = None if ends is None else (ends[0], ends[1])
    return BestExpected(dict(params), sign * found.value, interval, tuple(own))


def _sampler_of(study: Study) -> FlatDirectionsSampler:
    """The sampler as the study remembers it. Raises StudyError where it does not."""
    attributes = optuna_private.study_attributes(study)
    if (about := attributes.get(SAMPLER)) is not None:
        return FlatDirectionsSampler(
            chart=read_chart(about["chart"]),
            start=about["start"],
            search=about["search"],
            settings=SEARCHES[about["search"]](**about["settings"]),
            names=about["names"],
        )
    if "search" in (identity := attributes.get(IDENTITY, {})):
        plan = plan_of(identity)
        search = "flatdirs" if plan.settings is None else plan.name
        chart, start = plan.grid.chart, plan.grid.start
        return FlatDirectionsSampler(chart=chart, start=start, search=search, settings=plan.settings)
    raise StudyError(
        f"study {study.study_name} has no trial of FlatDirectionsSampler, so its chart and start are not known; give "
        f"them, as in recommend(study, sampler=FlatDirectionsSampler(chart='sgd'))",
        key="sampler",
    )


def _reason(observed: BestObserved, expected: BestExpected | None, best: FrozenTrial) -> str:
    """How the two differ. `best`: the trial with the best value."""
    number = observed.number
    if expected is None:
        return f"trial {number} has the best value; the search could place no trial, so nothing more is known"
    if number in expected.numbers:
        return f"trial {number} has the best value, and all runs together favour its setting too"
    others = ", ".join(map(str, expected.numbers))
    chosen = [name for name, space in best.distributions.items() if isinstance(space, CategoricalDistribution)]
    differ = [name for name in chosen if best.params[name] != expected.params.get(name)]
    why = f"which has another {differ[0]}" if differ else "so the better value is likely to be noise"
    return (
        f"trial {number} has the best value ({observed.value:.6g}); all runs together favour the setting of trial "
        f"{others} (expected {expected.value:.6g}), {why}"
    )
