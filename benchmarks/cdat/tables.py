"""The tables of the page: the claims, one line each; the grid of their cases; end losses; steps at the cap."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.cdat import claims, findings, plan
from benchmarks.cdat.findings import NAMES, Evidence, Trained
from benchmarks.cdat.verdicts import Claim

NOTHING = "Not measured yet."
LOSSES = tuple(dict.fromkeys(problem.loss for problem in plan.PROBLEMS.values()))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


def rules() -> list[str]:
    """What the words of the claims mean, and when that was settled."""
    return [
        "A claim holds in a case (a problem and a base, or what the line names) or does not; `claims.py` and `variations.py` have the thresholds. They were",
        "written after a few trial runs and before the rows, but did not all stay: after the first rows the snowball claims lost the condition that the ratio nears the edge and the rule on runs",
        "that diverged was changed, and later, with all rows known, mini-batches were parted from the full batch, the toy was run to its end, a warm-up had",
        "to peak early in a run that trains, and cases without a number or without a gain became undecided. Later still Adam joined what is varied, for with GD there",
        "had been no gain to vary, and a step of line search and one of the constant rate were tried at the looks.",
        "",
        f"*Matches*: at most {claims.MATCHES:g} times the rival's end loss. *On the edge*: a median ratio of sharpness to edge in {claims.EDGE[0]:g} to {claims.EDGE[1]:g}, the edge being that of the mean rate of",
        f"{plan.AROUND} steps, since rates found step by step may alternate between long and short. *Warm-up*: the rate grows {claims.GROWS:g} times or more, is highest before {100 * claims.EARLY:.0f} % of the run, and",
        "with every seed the run ends below its initial loss. *Gain*: octaves by which the end loss lies below the tuned constant rate's.",
        f"*Diverged*: the loss was not finite, or above {plan.HOPELESS:g} times the initial one, at a look or at the end; such a run has no end loss. Where two are compared, numbers",
        "are over the seeds in which both finished, and those that diverged are counted; where too few are left to be most of the seeds there is no number, and",
        "whoever diverged less often is ahead. A σ with which a run diverged is not the best of its batch.",
        "",
    ]


def claims_tables(evidence: Evidence) -> list[str]:
    """One line a claim, then the grid of those asked of every problem and base."""
    asked = claims.every(evidence)
    losses = [loss.replace("_", " ") for loss in LOSSES]
    head = ("claim", "here", *losses, "numbers: median (lowest to highest case)", "seeds", "in the grid")
    lines = [
        (
            claim.text,
            claim.verdict,
            *map(claim.of_loss, LOSSES),
            claim.numbers(),
            claim.seeds(),
            claim.short if claim.cases and claim.short else "–",
        )
        for claim in asked
    ]
    return [*rules(), *table(head, lines), "", *grid(evidence, [one for one in asked if one.short and one.cases])]


def grid(evidence: Evidence, asked: Sequence[Claim]) -> list[str]:
    """A row a case, a column a claim."""
    if not asked:
        return []
    names = [case.name for case in evidence.cases]
    lost = dict.fromkeys(f"{case.name}, {case.lost}" for claim in asked for case in claim.cases if case.lost)
    told = [f"Counted in it: {'; '.join(lost)}.", ""] if lost else []
    return [
        "Case by case: ✓ held, ✗ did not; behind it the numbers of the table above, in its order. The last column of that table says which claim a",
        "column is: σ1 and σ2 are σ = 1 and σ = 2, ls is line search.",
        "",
        *table(
            ("problem, base", *(claim.short for claim in asked)),
            [(name, *(claim.cell(name) for claim in asked)) for name in names],
        ),
        "",
        *told,
    ]


def end_losses(evidence: Evidence) -> list[str]:
    """By case and rival."""
    return [
        "End loss: geometric mean over the seeds that finished, (lowest to highest; seeds), in square brackets the tuned rate. *Not trained*: a run that ends at or",
        "above its initial loss.",
        "",
        *table(
            ("problem, base", *NAMES.values()),
            [(case.name, *(end_cell(case.every(rival)) for rival in NAMES)) for case in evidence.cases],
        ),
    ]


def end_cell(runs: Sequence[Trained]) -> str:
    """A cell of the table of end losses."""
    if not runs:
        return "–"
    finished = [run for run in runs if math.isfinite(run.end)]
    ends = [run.end for run in finished]
    tuned = f" [{runs[0].run.value:.3g}]" if runs[0].run.method in ("constant", "schedule") else ""
    counts = [f"{min(ends):.2g} to {max(ends):.2g}"] if len(ends) > 1 else []
    counts.append(f"{len(runs)}")
    if lost := len(runs) - len(finished):
        counts.append(f"{lost} diverged")
    if idle := sum(run.end >= run.initial for run in finished):
        counts.append(f"**{idle} not trained**")
    mean = f"{statistics.geometric_mean(ends):.3g}" if ends else "none"
    return f"{mean} ({'; '.join(counts)}){tuned}"


def caps(evidence: Evidence) -> list[str]:
    """At which part of its steps a rate found step by step was the cap; nothing where it never was."""
    rivals = ("linesearch", "sigma1", "sigma2")
    parts = {case.name: [findings.capped(case, rival) for rival in rivals] for case in evidence.cases}
    lines = [
        (name, *(f"{100 * part:.0f} %" if part >= 0.005 else "–" for part in row))
        for name, row in parts.items()
        if max(row) >= 0.005
    ]
    if not lines:
        return []
    return [
        "",
        "With cross entropy a network that fits all images loses its curvature with its loss, and the rates found run into the cap. Steps at the cap:",
        "",
        *table(("problem, base", *(NAMES[rival] for rival in rivals)), lines),
    ]
