"""The tables of the page and of every lattice's own file: medians, duels, returned points, every condition in full."""

from __future__ import annotations

import statistics

from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.findings import AFTER, BUDGET, TARGETS, Evidence, Summary, versus


def starts_of(evidence: Evidence) -> list[str]:
    """The starts of a lattice, as conditions.yaml has them."""
    return list(conditions.settings()[conditions.named(evidence.lattice).optimizer]["starts"])


def medians(evidence: Evidence, target: float) -> list[str]:
    """One target: a line a method and box, a column a start."""
    starts = starts_of(evidence)
    lines = [
        f"### {evidence.lattice}: {target:g} %",
        "",
        "Median runs, in brackets the percentage of repetitions that never arrive:",
        "",
        "| method | box | no start | " + " | ".join(starts) + " |",
        "|---|---|---|" + "---|" * len(starts),
    ]
    for method, box in dict.fromkeys((condition.method, condition.box) for condition in evidence.groups):
        each = (evidence.summary(evidence.of(method, box, start), target) for start in (NONE, *starts))
        lines.append(f"| `{method}` | {box} | {' | '.join(brief(found) for found in each)} |")
    return [*lines, ""]


def brief(found: Summary | None) -> str:
    """A median, and who never arrives where anybody does not."""
    if found is None:
        return ""
    middle = "never" if found.median > BUDGET else f"{found.median:.3g}"
    return middle + (f" ({100 * found.never:.0f})" if found.never else "")


def returned(evidence: Evidence) -> list[str]:
    """How good the point is that a method would give back, where repetitions were run to their end."""
    lines = [
        "Points below the best of the fit of what a method would return, noiseless, median over seeds (where all",
        "repetitions were run to their end; where a method has a start, from typical and auto):",
        "",
        "| method | box | start | " + " | ".join(f"after {count}" for count in AFTER) + " |",
        "|---|---|---|" + "---|" * len(AFTER),
    ]
    before = len(lines)
    for condition in evidence.groups:
        if condition.start in conditions.TO_THE_END:
            each = [evidence.returned(condition, count) for count in AFTER]
            if all(len(values) == conditions.repetitions(condition) for values in each):
                numbers = " | ".join(f"{evidence.facts['best'] - statistics.median(values):.2f}" for values in each)
                lines.append(f"| `{condition.method}` | {condition.box} | {condition.start} | {numbers} |")
    return [*lines, ""] if len(lines) > before else []


def full_table(evidence: Evidence) -> list[str]:
    """Every condition and target of a lattice."""
    epochs = evidence.facts["epochs"]
    lines = [
        f"# {evidence.lattice}: every condition",
        "",
        f"Runs to the target: median [95 % interval], quartiles, percentage that never arrives ({BUDGET + 1} stands for it), the median in epochs of",
        "training, and by seed against `tpe` in the same box (for methods without a box, in either): fewer runs, more runs, the sign test's p.",
        "[Back to the page](README.md).",
        "",
    ]
    for target in TARGETS:
        lines += [f"## {target:g} %", ""]
        lines += ["| method | box | start | n | median | quartiles | never | epochs | against tpe | p |"]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        lines += [full_line(evidence, condition, target, epochs) for condition in evidence.groups]
        lines += [""]
    return lines


def full_line(evidence: Evidence, condition: Condition, target: float, epochs: int) -> str:
    """One condition."""
    found = evidence.summary(condition, target)
    assert found is not None
    own, tests, values = evidence.runs(condition, target), [], []
    for box in ("ignorant", "expert") if condition.box == NONE else (condition.box,):
        against = None if condition.method == "tpe" else versus(own, evidence.runs(evidence.of("tpe", box), target))
        if against is not None:
            name = f"{box} " if condition.box == NONE else ""
            tests.append(f"{name}{against.fewer}, {against.more}")
            values.append(f"{against.p:.2g}")
    parts = [
        *(f"`{condition.method}`", condition.box, condition.start, str(found.count)),
        f"{found.median:.4g} [{found.low:.4g}, {found.high:.4g}]",
        f"{found.quartiles[0]:.4g} – {found.quartiles[1]:.4g}",
        f"{100 * found.never:.0f} %",
        "–" if found.median > BUDGET else f"{found.median * epochs:.0f}",
        *("; ".join(tests), "; ".join(values)),
    ]
    return f"| {' | '.join(parts)} |"


def overheads(every: list[Evidence]) -> list[str]:
    """A method's own time."""
    spent: dict[str, list[float]] = {}
    for evidence in every:
        for condition, found in evidence.groups.items():
            whole = [float(row["overhead_ms"]) for row in found if row["complete"] == "1"]
            spent.setdefault(condition.base, []).extend(whole)
    spent = {method: values for method, values in spent.items() if values}
    if not spent:
        return []
    lines = [
        "A method's own time, median over repetitions to the end of the mean per proposal (of the machines that made the rows, with other work on some):"
    ]
    lines += ["", "| method | ms per proposal |", "|---|---|"]
    lines += [f"| `{method}` | {statistics.median(values):.2g} |" for method, values in spent.items()]
    return [*lines, ""]
