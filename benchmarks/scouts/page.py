"""README.md and the figures of this folder, from its rows, the lattices' and facts.json."""

from __future__ import annotations

from pathlib import Path

from benchmarks.lattice.lattices import HERE as WHOLE
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET, TARGETS
from benchmarks.scouts import plan, ridges, text
from benchmarks.scouts.findings import BANDS, EVERY, Evidence, Saving
from benchmarks.scouts.plan import MAIN, PLAIN, PLANS, TRANSFERS, Plan
from benchmarks.scouts.ranking import Estimate

NOTHING = "Not measured yet."


def results(folder: Path = plan.HERE, measured: Path = WHOLE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.scouts import figures

    every = [Evidence(name, folder, measured) for name in plan.LATTICES]
    found: dict[str, str | bytes] = {"README.md": "\n".join(page(every))}
    for evidence in every:
        if evidence.facts is not None:
            found[f"{evidence.name}.png"] = figures.picture(evidence)
    return found


def page(every: list[Evidence]) -> list[str]:
    """The whole page."""
    lines = [*text.introduction(), *text.conclusion(every), *text.method()]
    for evidence in every:
        lines += [f"## {evidence.name}", "", *section(evidence)]
    return lines


def section(evidence: Evidence) -> list[str]:
    """One lattice."""
    if evidence.facts is None or not evidence.searches:
        count = len(evidence.scout_rows)
        return [
            f"Not measured whole: {count} scouts are on file, nothing is said of them yet." if count else NOTHING,
            "",
        ]
    return [*extent(evidence), *shifts(evidence), *best_shift(evidence), *agreement(evidence), *searches(evidence)]


def extent(evidence: Evidence) -> list[str]:
    """How many scouts, their level, and the error of both fits."""
    assert evidence.facts is not None
    whole, scout = evidence.facts["errors"]
    levels = evidence.facts["level"]
    return [
        f"{len(evidence.scout_rows)} scouts in {len(evidence.scouts)} cells, {len(evidence.whole)} of them cells of whole runs. The ten best cells "
        f"reach {levels[1]:.2f} % as scouts, {levels[0]:.2f} % as whole runs.",
        "",
        "| fit | best | near: error (noise alone) | bias | overall: error (noise alone) | cells on the wrong side of the cliff |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {best:.2f} % | {off['near']:.2f} ({off['near_noise']:.2f}) | {off['near_bias']:+.2f} | "
            f"{off['overall']:.2f} ({off['overall_noise']:.2f}) | {off['cliff_wrong']:.0f} of {off['tried']:.0f} |"
            for name, best, off in zip(("whole runs", "scouts"), evidence.facts["best"], (whole, scout), strict=True)
        ),
        "",
        f"![accuracy along λ]({evidence.name}.png)",
        "",
    ]


def shifts(evidence: Evidence) -> list[str]:
    """Where scouts' lines have their marks, beside whole runs'."""
    assert evidence.facts is not None
    sgd = evidence.lattice.optimizer == "sgd"
    kept = {"learning_rate": ("+2", "0" if sgd else "0 (λ)"), "weight_decay": ("+2", "–")}
    lines = [
        "By how many octaves scouts' marks lie above whole runs', on lines along one hyperparameter:",
        "",
        f"| along | T·c₁ kept | {'λ/(1−ρ)' if sgd else 'λ'} kept | " + " | ".join(ridges.MARKS) + " |",
        "|---|---|---|" + "---|" * len(ridges.MARKS),
    ]
    for axis, found, counts in zip(
        evidence.lattice.axes, evidence.facts["shifts"], evidence.facts["lines"], strict=True
    ):
        expected = kept.get(axis.hyperparameter, ("−2", "0") if sgd else ("–", "–"))
        each = [
            f"{value:+.2f} [{low:+.2f}, {high:+.2f}], {count} lines" if count else "–"
            for (value, low, high), count in zip(found, counts, strict=True)
        ]
        lines.append(f"| {text.SYMBOLS[axis.name]} | {' | '.join((*expected, *each))} |")
    return [*lines, ""]


def best_shift(evidence: Evidence) -> list[str]:
    """The table of correlations over shifts in λ and α."""
    assert evidence.facts is not None
    nearest = sorted(evidence.facts["nearest"].items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{shift.replace(' ', ' and ')} ({count})" for shift, count in nearest)
    lines = [
        f"Spearman's correlation on the fits, over the grid's settings within {ridges.TOP:g} points of the best whole run, between a whole run and the scout",
        "so many octaves off in λ (down) and in α (across); T·c₁ is kept where the two add up to 2:",
        "",
        "| λ \\ α | " + " | ".join(f"{shift:+d}" for shift in ridges.DECAY_SHIFTS) + " |",
        "|---|" + "---|" * len(ridges.DECAY_SHIFTS),
    ]
    for shift, values in zip(ridges.RATE_SHIFTS, evidence.facts["ranks"], strict=True):
        lines.append(f"| {shift:+d} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return [
        *lines,
        "",
        f"The highest of the table, λ and α, in {ridges.RESAMPLES} draws of the cells (how often): {named}.",
        "",
    ]


def agreement(evidence: Evidence) -> list[str]:
    """Rank correlations over measured cells."""
    lines = [
        "Spearman's correlation between the means of measured cells, whole runs against the scouts that stand for them [95 %], cells:",
        "",
        "| cells of whole runs | "
        + " | ".join(text.WORDS[found.name] for found in TRANSFERS)
        + " | another seed of the whole run |",
        "|---|" + "---|" * (len(TRANSFERS) + 1),
    ]
    read_off = " | ".join(correlation(evidence.fitted(found)) for found in TRANSFERS)
    lines.append(f"| all, scouts read off their fit | {read_off} | – |")
    for band in BANDS:
        name = "all with a scout there" if band is None else f"within {band:g} points of their level"
        each = [evidence.correlation(found, band) for found in TRANSFERS]
        lines.append(f"| {name} | {' | '.join(correlation(one) for one in (*each, evidence.ceiling(band)))} |")
    return [*lines, ""]


def correlation(found: Estimate) -> str:
    """One cell of that table."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}], {found.count}"


def searches(evidence: Evidence) -> list[str]:
    """With scouts against without."""
    starts = [*conditions.settings()[evidence.lattice.optimizer]["starts"], EVERY]
    lines = [
        f"`flatdirs` alone, and after the scouts of the plan *{MAIN.name}*: median cost in whole runs (percentage that never arrives), and what the",
        "scouts add to it, mean over seeds, paired [95 %]; seeds that pay less and more; scouts sent, and what the first whole run is worth, median:",
        "",
        "| target | start | alone | with scouts | scouts add | less, more | scouts | first whole run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for target in TARGETS:
        for start in starts:
            found = evidence.saving(MAIN.name, start, target)
            if found is not None:
                count, begins = evidence.before(MAIN.name, start)
                lines.append(
                    f"| {target:g} % | {start} | {cost(found.plain, found.never[0])} | {cost(found.median, found.never[1])} | "
                    f"{difference(found)} | {found.fewer}, {found.more} | {count:.1f} | {begins:.1f} % |"
                )
    return [*lines, "", *every_plan(evidence, starts)]


def every_plan(evidence: Evidence, starts: list[str]) -> list[str]:
    """What scouts add, for all plans."""
    kinds = [kind for kind in PLANS if kind != PLAIN]
    lines = [
        "What scouts add to the cost, by plan (mean over seeds, paired [95 %], in whole runs; negative where they save):",
        "",
        "| target | start | " + " | ".join(kind.name for kind in kinds) + " |",
        "|---|---|" + "---|" * len(kinds),
    ]
    for target in TARGETS:
        for start in starts:
            each = [added(evidence, kind, start, target) for kind in kinds]
            lines.append(f"| {target:g} % | {start} | {' | '.join(each)} |")
    return [*lines, ""]


def added(evidence: Evidence, kind: Plan, start: str, target: float) -> str:
    """One cell of that table."""
    found = evidence.saving(kind.name, start, target)
    return "–" if found is None else difference(found)


def cost(median: float, never: float) -> str:
    """A median, and who never arrives where anybody does not."""
    middle = "never" if median > BUDGET else f"{median:.3g}"
    return middle + (f" ({100 * never:.0f})" if never else "")


def difference(found: Saving) -> str:
    """A mean difference with its interval; bold where the scouts save for sure."""
    off = found.difference
    shown = f"{off.value:+.2f} [{off.low:+.2f}, {off.high:+.2f}]"
    return f"**{shown}**" if off.high < 0 else shown
