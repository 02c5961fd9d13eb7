"""A study's history as rows: what was tried, why, what came of it, and what the search made of it.

Pure reading: `status` from another shell, the live table and the closing table all show these rows. A descent's rows
follow its trace, so a point it came back to appears again as "recalled"; runs that another worker made ahead of the
search stand at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flatdirs.history import OUTCOME, SETTING, key_of
from flatdirs.replay import Trace
from flatdirs.search import Outcome, guessing, judge

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from flatdirs.study import Study


Numbered = tuple[int, "FrozenTrial", Outcome]  # run number, trial, what it says


@dataclass(frozen=True)
class Row:
    """One line of the table. `change` is against the best before; `run` counts from 1, the start.

    `by_loss`: both runs did no better than guessing, so the validation loss decided.
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


@dataclass(frozen=True)
class AxisLine:
    """The source's table: where the search stood when an axis was finished, after how many runs."""

    runs: int
    axis: str
    row: Row


@dataclass(frozen=True)
class Winner:
    """The best point so far."""

    run: int
    trial: int
    hyperparameters: Mapping[str, float]
    coordinates: Mapping[str, float]
    outcome: Outcome
    value: float | None


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
            axis = "start" if step.question.axis is None else study.plan.lattice.chart.axes[step.question.axis].name
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
    run, trial, outcome = best
    setting = trial.user_attrs[SETTING]
    return Winner(run, trial.number, setting["hyperparameters"], setting["coordinates"], outcome, _value(trial))


def _plain(numbered: Sequence[Numbered]) -> list[tuple[FrozenTrial, Outcome]]:
    return [(trial, outcome) for _, trial, outcome in numbered]


def _value(trial: FrozenTrial) -> float | None:
    value: float | None = trial.user_attrs[OUTCOME]["value"]
    return value


def _row(run: int, trial: FrozenTrial, axis: str, move: str, before: float | None, verdict: str) -> Row:
    setting, value = trial.user_attrs[SETTING], _value(trial)
    change = None if before is None or value is None else value - before
    seconds = trial.user_attrs.get("provenance", {}).get("seconds")
    return Row(run, axis, move, setting["hyperparameters"], setting["coordinates"], value, change, seconds, verdict)


def _sampled(study: Study, numbered: Sequence[Numbered]) -> Iterator[Row]:
    """Rows of a search without axes: better or worse than the best before."""
    best: Outcome | None = None
    value: float | None = None
    for run, trial, outcome in numbered:
        better = best is None or judge(outcome, best, study.plan.rules) == "better"
        verdict = outcome.state if outcome.state != "finished" else "better" if better else "worse"
        yield _row(run, trial, "", study.plan.name, value, verdict)
        if better:
            best, value = outcome, _value(trial)


def _descended(study: Study, numbered: Sequence[Numbered], trace: Trace) -> Iterator[Row]:
    """Rows along the trace, then the runs that it has not come to."""
    by_key: dict[Any, tuple[int, FrozenTrial]] = {}
    for run, trial, _ in numbered:
        by_key.setdefault(key_of(trial), (run, trial))
    outcomes = {step.question.key: step.outcome for step in trace.steps}
    axes, seen = study.plan.lattice.chart.axes, set[int]()
    for step in trace.steps:
        question = step.question
        run, trial = by_key[question.key]
        before = None if question.incumbent is None else _value(by_key[question.incumbent][1])
        axis = "start" if question.incumbent is None else "" if question.axis is None else axes[question.axis].name
        row = _row(run, trial, axis, question.move, before, _verdict(step.outcome, step.verdict.judgement, axis))
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
            yield _row(run, trial, attributes.get("axis") or "", attributes.get("move", ""), None, verdict)


def _verdict(outcome: Outcome, judgement: str, axis: str) -> str:
    if outcome.state != "finished":
        return outcome.state
    return "start" if axis == "start" else judgement


def _rows_by_point(numbered: Sequence[Numbered]) -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for run, trial, _ in numbered:
        found.setdefault(key_of(trial), _row(run, trial, "", "", None, ""))
    return found
