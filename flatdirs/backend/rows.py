"""A study's history as rows: what was tried, why, what came of it, and what the search made of it.

Pure reading: `status` from another shell, the live table and the closing table all show these rows. A descent's rows
follow its trace, so a point it came back to appears again as "recalled"; runs that another worker made ahead of the
search stand at the end.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flatdirs.backend.outcomes import OUTCOME, SETTING, key_of
from flatdirs.search import Key, Outcome, guessing, judge
from flatdirs.search.replay import Trace
from flatdirs.search.score_warping import ROUNDING
from flatdirs.space.coordinates import Point

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from flatdirs.backend.study import Study


EXPECTED = "expected best"  # the verdict on a run that became the best by all runs together, not by its own value
DIGITS = 6  # significant, of a value, at least
Numbered = tuple[int, "FrozenTrial", Outcome]  # run number, trial, what it says


@dataclass(frozen=True)
class Row:
    """One line of the table. `change` is against the best before, the mean of its runs; `run` counts from 1, the start.

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
    """The source's table: where the search stood when an axis was finished, after how many runs."""

    runs: int
    axis: str
    row: Row


@dataclass(frozen=True)
class Winner:
    """The best point so far; run, trial, outcome and value are those of its first run.

    `mean`: of the `runs` of this point that finished. `seen`: run and value that are better than that, where another
    point has one; the search may know better than to trust it. `digits`: enough to tell the runs' values apart.
    """

    run: int
    trial: int
    hyperparameters: Mapping[str, float]
    coordinates: Mapping[str, float]
    outcome: Outcome
    value: float | None
    key: Key | None = None
    runs: int = 1
    mean: float | None = None
    seen: tuple[int, float] | None = None
    digits: int = DIGITS


def rows(study: Study) -> list[Row]:
    """Every run that counts as a row, in the order the search took notice of it."""
    numbered = study.numbered_runs()  # read once: other workers may add to them at any moment
    trace = study.trace(_plain(numbered))
    if trace is None:
        return list(_sampled(study, numbered))
    return list(_descended(study, numbered, trace))


def axis_lines(study: Study) -> list[AxisLine]:
    """A line for the start and one for each axis that brought a gain, the one being searched included.

    Empty for searches that do not go axis by axis.
    """
    numbered = study.numbered_runs()
    trace = study.trace(_plain(numbered))
    if trace is None or not trace.steps or any(s.question.axis is None for s in trace.steps[1:]):
        return []
    by_point = _rows_by_point(numbered)
    lines: list[AxisLine] = []
    asked: set[Any] = set()
    for step, following in zip(trace.steps, [*trace.steps[1:], None], strict=True):
        asked.add(step.question.key)
        ended = following is None or following.question.visit != step.question.visit
        stands = step.verdict.incumbent
        if ended and stands in by_point and (not lines or by_point[stands].run != lines[-1].row.run):
            axis = "start" if step.question.axis is None else study.plan.grid.chart.axes[step.question.axis].name
            going_on = trace.pending is not None and trace.pending.visit == step.question.visit
            lines.append(AxisLine(len(asked), f"{axis} …" if going_on else axis, by_point[stands]))
    return lines


def winner(study: Study) -> Winner | None:
    """The search's own best, unless a run it has not asked about is better still; None before the first result."""
    numbered = study.numbered_runs()
    rules = study.plan.rules
    best: Numbered | None = None
    trace = study.trace(_plain(numbered))
    if trace is not None and trace.incumbent is not None:
        best = next(one for one in numbered if key_of(one[1]) == trace.incumbent)
    asked = set() if trace is None else {step.question.key for step in trace.steps}
    for one in numbered:
        news = key_of(one[1]) not in asked and one[2].state == "finished"
        if news and (best is None or judge(one[2], best[2], rules) == "better"):
            best = one
    if best is None or rules.score(best[2]) == float("-inf"):
        return None
    return _winner(study, numbered, best)


def _winner(study: Study, numbered: Sequence[Numbered], best: Numbered) -> Winner:
    """What is known of the best point beside its first run."""
    run, trial, outcome = best
    setting, key = trial.user_attrs[SETTING], key_of(trial)
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
    return Winner(
        run, trial.number, place, setting["coordinates"], outcome, _value(trial), key, max(1, len(own)), mean,
        (top, seen[top]) if top is not None and higher else None, significant(seen.values()),
    )  # fmt: skip


def significant(values: Iterable[float | None], least: int = DIGITS) -> int:
    """Significant digits that tell these values apart: to a hundredth of the shortest range that holds half of them.

    Two decimals where that range is none, as with a first run.
    """
    known = sorted({value for value in values if value is not None and math.isfinite(value)})
    half = (len(known) + 1) // 2
    spread = min((known[place + half] - known[place] for place in range(len(known) - half)), default=0.0)
    largest = max((abs(value) for value in known), default=0.0)
    if not largest:
        return least
    told_apart = math.isfinite(spread) and spread > largest * 1e-17
    decimals = math.ceil(2 - math.log10(spread)) if told_apart else 2
    return min(17, max(least, math.floor(math.log10(largest)) + 1 + decimals))


def _plain(numbered: Sequence[Numbered]) -> list[tuple[FrozenTrial, Outcome]]:
    return [(trial, outcome) for _, trial, outcome in numbered]


def _value(trial: FrozenTrial) -> float | None:
    value: float | None = trial.user_attrs[OUTCOME]["value"]
    return value


def gap(before: float, value: float) -> float:
    """What lies between two values, rounding forgotten."""
    return 0.0 if math.isclose(before, value, rel_tol=ROUNDING) else value - before


def _row(run: int, trial: FrozenTrial, axis: str, move: str, before: float | None, verdict: str) -> Row:
    setting, value = trial.user_attrs[SETTING], _value(trial)
    change = None if before is None or value is None else gap(before, value)
    seconds = trial.user_attrs.get("provenance", {}).get("seconds")
    return Row(run, axis, move, setting["hyperparameters"], setting["coordinates"], value, change, seconds, verdict)


def _sampled(study: Study, numbered: Sequence[Numbered]) -> Iterator[Row]:
    """Rows of a search without axes: better or worse than the best before."""
    best: Outcome | None = None
    value: float | None = None
    for run, trial, outcome in numbered:
        better = best is None or judge(outcome, best, study.plan.rules) == "better"
        verdict = outcome.state if outcome.state != "finished" else "better" if better else "worse"
        yield replace(_row(run, trial, "", study.plan.name, value, verdict), reason=_reason(trial))
        if better:
            best, value = outcome, _value(trial)


def _descended(study: Study, numbered: Sequence[Numbered], trace: Trace) -> Iterator[Row]:
    """Rows along the trace, then the runs that it has not come to."""
    by_key: dict[Any, tuple[int, FrozenTrial]] = {}
    for run, trial, _ in numbered:
        by_key.setdefault(key_of(trial), (run, trial))
    outcomes = {step.question.key: step.outcome for step in trace.steps}
    axes, seen = study.plan.grid.chart.axes, set[int]()
    values: dict[Point, list[float]] = {}
    for step in trace.steps:
        question = step.question
        run, trial = by_key[question.key]
        known = [] if question.incumbent is None else values.get(question.incumbent, [])
        before = statistics.fmean(known) if known else None
        axis = "start" if question.incumbent is None else "" if question.axis is None else axes[question.axis].name
        row = _row(run, trial, axis, question.move, before, _verdict(step.outcome, step.verdict.judgement, axis))
        row = replace(row, reason=question.reason if question.asked else _reason(trial) or question.reason)
        if study.plan.name == "flatdirs":
            row = replace(row, verdict=_consistent(row, 1 if study.maximize else -1))
        if row.value is not None and not step.recalled:
            values.setdefault(question.point, []).append(row.value)
        if question.incumbent is not None:
            best = outcomes[question.incumbent]
            row = replace(row, by_loss=all(guessing(one, study.plan.rules) for one in (step.outcome, best)))
        if step.recalled:
            row = replace(row, seconds=None, verdict="recalled")
        seen.add(run)
        yield row
    for run, trial, outcome in numbered:
        if run not in seen:
            attributes = trial.user_attrs
            verdict = outcome.state if outcome.state != "finished" else "ahead"
            row = _row(run, trial, attributes.get("axis") or "", attributes.get("move", ""), None, verdict)
            yield replace(row, reason=_reason(trial))


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("reason", ""))


def _consistent(row: Row, sign: int) -> str:
    """The verdict of a search by model, which may hold a point for the best whose own value is no better."""
    if row.change is None:
        return row.verdict
    if row.verdict == "better":
        return "better" if sign * row.change > 0 else EXPECTED
    return "tie" if row.verdict == "worse" and sign * row.change >= 0 else row.verdict


def _verdict(outcome: Outcome, judgement: str, axis: str) -> str:
    if outcome.state != "finished":
        return outcome.state
    return "start" if axis == "start" else judgement


def _rows_by_point(numbered: Sequence[Numbered]) -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for run, trial, _ in numbered:
        found.setdefault(key_of(trial), _row(run, trial, "", "", None, ""))
    return found
