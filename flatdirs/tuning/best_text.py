"""What a study found in words, the same in tables, `status`, `analyze` and best.yaml.

Best is the point with the best expected value by the search's own runs, which need not be the best observed. What is
handed over at the end is decided by a race on fresh seeds (confirm.py) and may be the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flatdirs.backend.study import Study
from flatdirs.backend.table_rows import DIGITS, counted, digits_of_mean, winner
from flatdirs.backend.verdict import Verdict
from flatdirs.search.race import Lead
from flatdirs.tuning.formatting import assignments, value_text


def best_text(study: Study, unit: str) -> str | None:
    """The best point so far, its expected value, and the best observed value if another point has it.

    Such as "run 18 of 25, 91.34 (expected 91.3; best observed 91.46 in run 22)". None before any result.
    """
    best = winner(study)
    if best is None:
        return None
    notes, digits, findings = [f"mean of {best.runs} runs"] if best.runs > 1 else [], best.digits, study.findings()
    if findings is not None and findings.flatness and best.mean is not None:
        digits = digits_of_mean(best.mean, findings.flatness[0].noise / math.sqrt(best.runs), best.digits)
    mean = value_text(best.mean, unit, digits)
    if study.deterministic:
        findings = None
    if findings is not None and findings.expected is not None and findings.best == best.point:
        notes.append(f"expected {value_text(findings.expected * (1 if study.maximize else -1), unit, digits)}")
    if best.seen is not None and (seen := value_text(best.seen[1], unit, digits)) != mean:
        notes.append(f"best observed {seen} in run {best.seen[0]}")
    told = f" ({'; '.join(notes)})" if notes else ""
    return f"run {best.run} of {len(study.runs())}, {mean}{told}"


def prior_lines(identity: Mapping[str, Any]) -> list[str]:
    """From which earlier study a study began, by its identity; nothing for others."""
    if "prior" not in identity:
        return []
    return [f"prior: {counted(len(identity['search']['earlier']))} of study {identity['prior']}"]


def handed_over_text(verdict: Verdict) -> str:
    """What is handed over, such as "the start, run 1, lr=0.1 wd=0.0005"."""
    run = "" if verdict.run is None else f", run {verdict.run}"
    return f"the {verdict.handed_over}{run}, {assignments(verdict.hyperparameters)}"


def verdict_lines(verdict: Verdict | None, unit: str | None = None) -> list[str]:
    """What is handed over, and the answer; nothing before a search has ended. With `unit`: the leads of the race."""
    if verdict is None:
        return []
    leads = {} if unit is None else verdict.leads
    lines = [f"confirmed: {name} {lead_text(own, unit or '')}" for name, own in leads.items()]
    return [*lines, f"handed over: {handed_over_text(verdict)}", verdict.sentence]


def lead_text(found: Lead, unit: str) -> str:
    """A lead over the start in words, such as "better than the start by 1.2 ± 0.3 (standard error, 6 pairs)"."""
    pairs = f"{found.pairs} pair{'' if found.pairs == 1 else 's'}"
    lost = [f"it diverged in {found.lost}"] if found.lost else []
    lost += [f"the start diverged in {found.won}"] if found.won else []
    if not found.valued:
        return " and ".join(lost) + f" of {pairs}" if lost else "cannot be compared: no pair has a value"
    size = abs(found.mean)
    by = value_text(size, unit, digits_of_mean(size, found.error, DIGITS))
    error = f"standard error, {pairs}" if found.pairs > 1 else pairs
    spread = f" ± {value_text(found.error, unit, 2)}" if found.pairs > 1 else ""
    notes = "".join(f"; {one}" for one in lost)
    if not size:
        return f"neither better nor worse than the start{spread} ({error}){notes}"
    return f"{'better' if found.mean > 0 else 'worse'} than the start by {by}{spread} ({error}){notes}"


def best_setting(study: Study, unit: str) -> str | None:
    """The same with its hyperparameters."""
    text, best = best_text(study, unit), winner(study)
    return None if text is None or best is None else f"{text}, {assignments(best.hyperparameters)}"
