"""A study as rows: what was tried, why, and what came of it. `status`, the live table and the closing table show them.

Rows read what is stored and compute no suggestion again. Those of Myrtle's search follow its trace, so a point it came
back to appears again as "recalled", and runs that another worker made ahead of it are last. All others are in the order
of their numbers, each compared with the incumbent that was stored when it was suggested.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flatdirs.backend.trial_runs import AXIS, INCUMBENT_VALUE, MOVE, OUTCOME, REASON, SETTING, claimed_id
from flatdirs.backend.trials import PROVENANCE
from flatdirs.search.coordinate_descent import DescentSettings, Trace, compare
from flatdirs.search.known import BayesSettings
from flatdirs.search.score_warping import ROUNDING
from flatdirs.search.suggest import incumbent
from flatdirs.search.types import Run, RunId
from flatdirs.space.chart import Point

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from flatdirs.backend.study import Study


DIGITS = 6  # significant, of a value, at least
Numbered = tuple[int, "FrozenTrial", Run]  # run number, trial, what it says
PLAIN = DescentSettings()  # how the runs of searches without settings of their own are compared


@dataclass(frozen=True)
class Row:
    """One line of the table. `change` is against the incumbent, the mean of its runs; `run` counts from 1, the start.

    `by_loss`: both runs did no better than guessing, so the validation loss decided. `reason`: why the run was made.
    """

    run: int
    axis: str
    move: str
    hyperparameters: Mapping[str, float]
    coordinates: Mapping[str, float]
    value: float | None
    change: float | None
    seconds: float | None
    verdict: str
    by_loss: bool = False
    reason: str = ""


@dataclass(frozen=True)
class AxisLine:
    """A line of Myrtle's table: where the search stood when an axis was finished, after how many runs."""

    runs: int
    axis: str
    row: Row


@dataclass(frozen=True)
class Winner:
    """The incumbent; run, trial and value are those of its first finished run.

    `mean`: of the `runs` of this point that finished. `seen`: run and value of another point that are better than that,
    where there is one. `digits`: enough to distinguish the values of the runs.
    """

    run: int
    trial: int
    hyperparameters: Mapping[str, float]
    coordinates: Mapping[str, float]
    value: float | None
    point: Point | None = None
    runs: int = 1
    mean: float | None = None
    seen: tuple[int, float] | None = None
    digits: int = DIGITS


def rows(study: Study) -> list[Row]:
    """Every run that counts as a row."""
    numbered = study.numbered_runs()  # read once: other workers may add to them at any moment
    trace = study.trace(_plain(numbered))
    return list(_suggested(study, numbered) if trace is None else _descended(study, numbered, trace))


def axis_lines(study: Study) -> list[AxisLine]:
    """A line for the start and one for each axis that brought a gain, the one being searched included.

    Empty for searches that do not go axis by axis.
    """
    numbered = study.numbered_runs()
    trace = study.trace(_plain(numbered))
    if trace is None:
        return []
    by_point = {known[0]: one for one in reversed(numbered) if (known := claimed_id(one[1])) is not None}
    lines: list[AxisLine] = []
    asked: set[RunId] = set()
    for step, following in zip(trace.steps, [*trace.steps[1:], None], strict=True):
        asked.add(step.proposal.suggestion.id)
        ended = following is None or following.proposal.line != step.proposal.line
        stands = step.decision.incumbent
        if ended and stands in by_point and (not lines or by_point[stands][0] != lines[-1].row.run):
            number = step.proposal.suggestion.axis
            axis = "start" if number is None else study.plan.grid.chart.axes[number].name
            going_on = trace.pending is not None and trace.pending.line == step.proposal.line
            run, trial, _ = by_point[stands]
            lines.append(AxisLine(len(asked), f"{axis} …" if going_on else axis, _row(run, trial, "", "", None, "")))
    return lines


def winner(study: Study) -> Winner | None:
    """The incumbent of the search; None before the first result."""
    return next(iter(contenders(study, 1)), None)


def contenders(study: Study, count: int = 2) -> list[Winner]:
    """The incumbent and the runner-up, which is the incumbent of the runs with other hyperparameters; what there is."""
    numbered, found = study.numbered_runs(), list[Winner]()
    left = numbered
    while len(found) < count and (best := _best(study, left)) is not None:
        found.append(_winner(study, numbered, best))
        left = [one for one in left if _hyperparameters(one) != found[-1].hyperparameters]
    return found


def first_run(study: Study, hyperparameters: Mapping[str, Any]) -> Numbered | None:
    """The first finished run with these hyperparameters; None where there is none."""
    own = (one for one in study.numbered_runs() if _hyperparameters(one) == dict(hyperparameters))
    return next((one for one in own if one[2].state == "finished"), None)


def _hyperparameters(one: Numbered) -> dict[str, Any]:
    return dict(one[1].user_attrs[SETTING]["hyperparameters"])


def _best(study: Study, numbered: Sequence[Numbered]) -> Numbered | None:
    """The incumbent of the search by these runs."""
    if isinstance(study.plan.settings, BayesSettings):
        return _bayes_best(study, study.plan.settings, numbered)
    return _best_of_judged(study, numbered)


def _bayes_best(study: Study, settings: BayesSettings, numbered: Sequence[Numbered]) -> Numbered | None:
    """A finished run of the point with the highest posterior mean."""
    point = incumbent(study.plan.grid, settings, study.grid_runs(_plain(numbered)))
    runs = [one for one in numbered if (known := claimed_id(one[1])) is not None and known[0] == point]
    return next((one for one in runs if _counts(one[2], settings)), None)


def _counts(run: Run, settings: BayesSettings) -> bool:
    return run.state == "finished" or (
        run.state == "diverged" and settings.diverged == "value" and math.isfinite(run.value)
    )


def _best_of_judged(study: Study, numbered: Sequence[Numbered]) -> Numbered | None:
    """The incumbent of Myrtle's search, or of a sampler; a run that the search did not suggest counts if better."""
    settings = study.plan.settings if isinstance(study.plan.settings, DescentSettings) else PLAIN
    trace = study.trace(_plain(numbered))
    best: Numbered | None = None
    if trace is not None and trace.incumbent is not None:
        best = next(one for one in numbered if claimed_id(one[1]) == (trace.incumbent, 0))
    asked = set() if trace is None else {step.proposal.suggestion.id for step in trace.steps}
    for one in numbered:
        news = claimed_id(one[1]) not in asked and one[2].state == "finished"
        if news and (best is None or compare(one[2], best[2], settings) == "better"):
            best = one
    return None if best is None or settings.value(best[2]) == -math.inf else best


def _winner(study: Study, numbered: Sequence[Numbered], best: Numbered) -> Winner:
    """What is known of the best point beside its first run."""
    run, trial, _ = best
    setting, point = trial.user_attrs[SETTING], (claimed_id(trial) or (None,))[0]
    place, own, seen = setting["hyperparameters"], list[float](), dict[int, float]()
    for number, other, told in numbered:
        if told.state == "finished" and (value := _value(other)) is not None:
            seen[number] = value
            if other.user_attrs[SETTING]["hyperparameters"] == place:
                own.append(value)
    mean = statistics.fmean(own) if own else _value(trial)
    sign = 1 if study.maximize else -1
    top = max(seen, key=lambda number: sign * seen[number], default=None)
    higher = top is not None and mean is not None and sign * (seen[top] - mean) > 0 and seen[top] not in own
    observed = (top, seen[top]) if top is not None and higher else None
    place, digits = (place, setting["coordinates"], _value(trial), point), significant(seen.values())
    return Winner(run, trial.number, *place, max(1, len(own)), mean, observed, digits)


def significant(values: Iterable[float | None], least: int = DIGITS) -> int:
    """Significant digits that distinguish these values: to a hundredth of the shortest range that holds half of them.

    Two decimals where that range is zero, as with a first run.
    """
    known = sorted({value for value in values if value is not None and math.isfinite(value)})
    half = (len(known) + 1) // 2
    spread = min((known[place + half] - known[place] for place in range(len(known) - half)), default=0.0)
    largest = max((abs(value) for value in known), default=0.0)
    if not largest:
        return least
    distinct = math.isfinite(spread) and spread > largest * 1e-17
    decimals = math.ceil(2 - math.log10(spread)) if distinct else 2
    return min(17, max(least, math.floor(math.log10(largest)) + 1 + decimals))


def digits_of_mean(mean: float, error: float, most: int) -> int:
    """Significant digits of a mean down to the second one of its standard error, `most` where that is zero."""
    if not (mean and math.isfinite(mean) and 0 < error < math.inf):
        return most
    place = math.floor(math.log10(abs(mean)))
    return min(most, max(place + 2 - math.floor(math.log10(error)), min(place + 1, DIGITS), 1))


def _plain(numbered: Sequence[Numbered]) -> list[tuple[FrozenTrial, Run]]:
    return [(trial, run) for _, trial, run in numbered]


def _value(trial: FrozenTrial) -> float | None:
    value: float | None = trial.user_attrs[OUTCOME]["value"]
    return value


def counted(runs: int) -> str:
    """Such as "1 run" and "2 runs"."""
    return {0: "no run", 1: "1 run"}.get(runs, f"{runs} runs")


def gap(before: float, value: float) -> float:
    """The difference of two values, without rounding errors."""
    return 0.0 if math.isclose(before, value, rel_tol=ROUNDING) else value - before


def _row(run: int, trial: FrozenTrial, axis: str, move: str, before: float | None, verdict: str) -> Row:
    setting, value = trial.user_attrs[SETTING], _value(trial)
    change = None if before is None or value is None else gap(before, value)
    seconds = trial.user_attrs.get(PROVENANCE, {}).get("seconds")
    reason = str(trial.user_attrs.get(REASON, ""))
    place = setting["hyperparameters"], setting["coordinates"]
    return Row(run, axis, move, *place, value, change, seconds, verdict, reason=reason)


def _suggested(study: Study, numbered: Sequence[Numbered]) -> Iterator[Row]:
    """Rows of the Bayesian search, compared with the incumbent at the time, and of samplers, with the best so far."""
    named, sign = isinstance(study.plan.settings, BayesSettings), 1 if study.maximize else -1
    best: float | None = None
    for run, trial, told in numbered:
        attributes, value = trial.user_attrs, _value(trial)
        before = attributes.get(INCUMBENT_VALUE) if named else best
        row = _row(run, trial, "", attributes.get(MOVE, study.plan.name), before, told.state)
        start = row.move == "start"
        if told.state == "finished":
            row = replace(row, verdict="start" if start else _verdict(row.change, sign))
            best = value if best is None or (value is not None and sign * (value - best) > 0) else best
        yield replace(row, axis="start") if start else row


def _verdict(change: float | None, sign: int) -> str:
    return "better" if change is None or sign * change > 0 else "tie" if change == 0 else "worse"


def _descended(study: Study, numbered: Sequence[Numbered], trace: Trace) -> Iterator[Row]:
    """Rows along the trace of Myrtle's search, then the runs that it has not come to."""
    by_id: dict[RunId | None, tuple[int, FrozenTrial, Run]] = {}
    for one in numbered:
        by_id.setdefault(claimed_id(one[1]), one)
    axes, shown = study.plan.grid.chart.axes, set[int]()
    for step in trace.steps:
        asked = step.proposal.suggestion
        run, trial, told = by_id[asked.id]
        best = None if asked.incumbent is None else by_id[asked.incumbent, 0]
        axis = "start" if asked.axis is None else axes[asked.axis].name
        judgement: str = "start" if best is None else step.decision.comparison
        verdict = told.state if told.state != "finished" else judgement
        row = _row(run, trial, axis, asked.move, None if best is None else _value(best[1]), verdict)
        row = replace(row, reason=asked.reason, by_loss=best is not None and told.guesses and best[2].guesses)
        shown.add(run)
        yield replace(row, seconds=None, verdict="recalled") if step.recalled else row
    for run, trial, told in numbered:
        if run not in shown:
            ahead = told.state if told.state != "finished" else "ahead"
            yield _row(run, trial, trial.user_attrs.get(AXIS) or "", trial.user_attrs.get(MOVE, ""), None, ahead)
