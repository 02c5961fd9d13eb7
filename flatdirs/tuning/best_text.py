"""The best of a study in words, the same in tables, `status`, `analyze` and best.yaml: best expected and best observed.

The search takes the point with the best expected value, which need not be the best observed.
"""

from __future__ import annotations

import math

from flatdirs.backend.study import Study
from flatdirs.backend.table_rows import digits_of_mean, winner
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


def best_setting(study: Study, unit: str) -> str | None:
    """The same with its hyperparameters."""
    text, best = best_text(study, unit), winner(study)
    return None if text is None or best is None else f"{text}, {assignments(best.hyperparameters)}"
