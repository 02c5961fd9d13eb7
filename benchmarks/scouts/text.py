"""What the page says around its tables: what a scout is, what was found, and how it was done."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.lattice.page import SYMBOLS
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET, TARGETS
from benchmarks.scouts import plan, ridges
from benchmarks.scouts.findings import BANDS, EVERY, PRESENT, Evidence, Saving
from benchmarks.scouts.plan import MAIN, PLAIN, PLANS, TRANSFERS, Plan

__all__ = ["SYMBOLS", "WORDS", "conclusion", "introduction", "method"]

COMMAND = "python -m benchmarks.scouts"
WORDS = {"same": "*same* setting", "rate": "*rate*: scout at λ×4", "decay": "*decay*: scout at α×4"}


def introduction() -> list[str]:
    """From the title to the conclusion."""
    return [
        "# Scouts: do runs of a quarter of the epochs find the ridge for less?",
        "",
        f"`{COMMAND}` trains the scouts that are not on file, compares them with the whole runs of [the lattices](../lattice/README.md), searches with",
        f"them and draws this page. A scout is a run of {plan.SHORTER} times fewer epochs (5 for 20), its triangle shrunk alike, and costs a quarter of a run. All",
        f"costs are in whole runs of 20 epochs: {plan.SHORTER} scouts are one. Nothing of this is in the search; it is here to decide whether it should be.",
        "",
    ]


def conclusion(every: Sequence[Evidence]) -> list[str]:
    """What came out, of the first lattice; nothing before that was measured."""
    found = every[0]
    if found.facts is None or not found.searches:
        return []
    return ["## What came out", "", *state(found), *verdict(found), "", *kept(found), "", *limits(every), ""]


def state(found: Evidence) -> list[str]:
    """Whose rows these are, where they are not the present search's, or not all of them."""
    lines = []
    if found.version != PRESENT:
        lines.append(
            f"**The searches on this page are version {found.version}'s; the search is at version {PRESENT} by now**, and `{COMMAND}` makes them anew."
        )
    if found.left_out:
        lines.append(f"{found.left_out} rows of another version, start or surface are left out.")
    return [*lines, ""] if lines else []


def verdict(found: Evidence) -> list[str]:
    """Whether scouts pay: over all starts with the plan that was to be judged, then by plan and start."""
    starts, kinds = found.starts, [kind for kind in PLANS if kind != PLAIN]
    each = {target: found.saving(MAIN.name, EVERY, target) for target in TARGETS}
    totals = ", ".join(f"{interval(saved)} at {target:g} %" for target, saved in each.items())
    scouts = [found.before(MAIN.name, start)[0] for start in starts]
    lines = [
        f"**{headline(list(each.values()))}** On `{found.name}`, scouts along the line, with the transfer that was to be judged, add to the cost, over all {len(starts)} starts:",
        f"{totals} [95 %], in whole runs (negative: they save). They are {min(scouts):.1f} to {max(scouts):.1f} scouts by start, which cost {min(scouts) / plan.SHORTER:.2f} to {max(scouts) / plan.SHORTER:.2f} runs; the search alone "
        f"is within {TARGETS[0]:g} % after {alone(found, starts)}.",
        "",
    ]
    cases = {
        (target, start): [found.saving(kind.name, start, target) for kind in kinds]
        for target in TARGETS
        for start in starts
    }
    known = [saved.difference for some in cases.values() for saved in some if saved is not None]
    saving, costing = sum(off.high < 0 for off in known), sum(off.low > 0 for off in known)
    lines.append(
        f"Of {len(known)} intervals by target, start and plan {saving} lie wholly on the saving side, {costing} on the other; chance alone puts {0.025 * len(known):.1f} on each at most."
    )
    for target in TARGETS:
        won = [line for start in starts if (line := gain(start, cases[target, start]))]
        lines.append(
            f"- {target:g} %: {'; '.join(won)}." if won else f"- {target:g} %: no plan saves for sure from any start."
        )
    return [*lines, *across(found, kinds)]


def headline(found: Sequence[Saving | None]) -> str:
    """One sentence of the differences over all starts."""
    signs = {(0 if saved is None else (saved.difference.low > 0) - (saved.difference.high < 0)) for saved in found}
    if signs <= {0, 1}:
        return (
            "The search sends no scouts: they save nothing for sure."
            if signs == {0}
            else "No: the search sends no scouts, and they add to its cost."
        )
    return (
        "Scouts save at some targets and cost at others."
        if 1 in signs
        else "Scouts save; the search sends none as yet."
    )


def alone(found: Evidence, starts: Sequence[str]) -> str:
    """Medians of the search alone at the easiest target."""
    counts = [statistics.median(found.runs(PLAIN.name, start, TARGETS[0])) for start in starts]
    few = sum(count <= 2 for count in counts)
    return f"one or two runs from {few} of {len(starts)} starts, after {max(counts):.3g} at most (medians)"


def gain(start: str, found: Sequence[Saving | None]) -> str:
    """Under how many plans a start gains, and the most; empty where under none."""
    sure = [saved.difference.value for saved in found if saved is not None and saved.difference.high < 0]
    return f"`{start}` saves under {len(sure)} of {len(found)} plans, {-min(sure):.2f} runs at most" if sure else ""


def across(found: Evidence, kinds: Sequence[Plan]) -> list[str]:
    """Whether any plan helps from all starts, and how far plans differ from one start."""
    helpful = [
        kind.name
        for kind in kinds
        if all(
            (saved := found.saving(kind.name, start, target)) is not None and saved.difference.value < 0
            for start in found.starts
            for target in TARGETS
        )
    ]
    widest, start, target = max(
        (max(values) - min(values), start, target)
        for target in TARGETS
        for start in found.starts
        if (values := [saved.difference.value for kind in kinds if (saved := found.saving(kind.name, start, target))])
    )
    everywhere = (
        "No plan saves, on average,"
        if not helpful
        else f"On average {', '.join(f'*{name}*' for name in helpful)} saves"
    )
    return [
        "",
        f"{everywhere} from all starts at all targets. Plans differ by where their strides land, and from one start by up to {widest:.1f} runs (`{start}`, {target:g} %): that is luck of the",
        "grid, not a rule to build on.",
    ]


def kept(found: Evidence) -> list[str]:
    """What stays the same between a scout and a whole run."""
    assert found.facts is not None
    near = BANDS[1]
    ranked = {carried.name: found.correlation(carried, near).value for carried in TRANSFERS}
    rate, averaging, decay = (axis[1][0] for axis in found.facts["shifts"])
    speed = abs(rate) < abs(rate - 2) and abs(averaging) < abs(averaging + 2)
    nearer = "; that is nearer to\nλ/(1−ρ), which would have 0" if speed else ""
    low, high = (found.facts["shifts"][0][mark][0] for mark in (0, 2))
    best = max(ranked, key=lambda name: ranked[name])
    return [
        f"A scout's best λ lies {rate:+.1f} and its best 1−ρ {averaging:+.1f} octaves from the whole run's, where T·c₁ kept would have +2 and −2{nearer}.",
        f"Its best α lies {decay:+.1f} octaves from the whole run's, where T·c₁ kept would have +2. The stretch of good λ begins {low:+.1f} and ends {high:+.1f} octaves from the whole run's.",
        f"Within {near:g} points of the level {WORDS[best]} ranks whole runs best: Spearman's correlation is "
        + ", ".join(f"{value:.2f} ({WORDS[name]})" for name, value in ranked.items())
        + ".",
    ]


def limits(every: Sequence[Evidence]) -> list[str]:
    """What this does not say."""
    found = every[0]
    unmeasured = [f"`{other.name}`" for other in every[1:] if other.facts is None or not other.searches]
    rest = f"{', '.join(unmeasured)} is not measured whole, and nothing" if unmeasured else "Nothing"
    recipe = found.lattice.recipe
    steps = recipe["epochs"] * (recipe["train_images"] // recipe["batch_size"])
    return [
        f"This is one task, whose whole run is short already ({steps} steps, scouts {steps // plan.SHORTER}), and {len(found.starts)} starts that are no sample: intervals are over noise at these starts.",
        f"{rest} here speaks of long schedules.",
    ]


def interval(found: Saving | None) -> str:
    """A mean difference as the sentences have it."""
    assert found is not None
    off = found.difference
    return f"{off.value:+.2f} [{off.low:+.2f}, {off.high:+.2f}]"


def method() -> list[str]:
    """How it was done."""
    seeds = conditions.settings()["seeds"]
    return [
        "## How",
        "",
        "- **Scouts trained.** Every cell of the lattice; the cells that the whole runs' ridge (within "
        f"{plan.BAND:g} points of their level) is carried over to by each",
        "  transfer below; a second seed where whole runs have one and on the scouts' own ridge. `NAME.csv` has a row for each, final values only.",
        "- **Fits.** The smooth fit of [runs_to_target](../runs_to_target/README.md), once for whole runs and once for scouts, with errors cross-validated by cell.",
        f"- **Lines.** Along each hyperparameter, the others fixed, where whole runs come within {ridges.TOP:g} points of the best: the best, and the two edges where the line",
        f"  has fallen {ridges.FALL:g} points below its own best. Marks at the end of an axis are left out. Median over lines; intervals from {ridges.RESAMPLES} draws of the cells with",
        "  replacement, each fitted again, so the error of the fit is in them. Along λ and α a scout's T·c₁ (c₁ = λα/(1−ρ), with AdamW λα) equals a whole run's at +2.",
        "- **Transfers**, fixed before the first scout was trained: *same* numbers; *rate*: T·c₁ kept through λ, four times as large for the scout; *decay*: kept through α,",
        "  the one that was to be judged.",
        "- **Correlations.** Over all cells only the row that reads scouts off their fit has the same cells in every column; the rows within a band have nearly so. The last",
        "  column, one seed against another in cells with two, says what noise leaves of a perfect predictor; scouts are held against means of up to three seeds, so they",
        "  may do better than that.",
        "- **Searches.** `flatdirs` on the scouts' surface, until its line ends (*line*) or for eight scouts (*eight*), beginning where the transfer takes the start to, so that",
        "  the scouts try the same line of whole runs (*line from the start*: beginning at the start's own numbers). Then `flatdirs` anew on the whole runs' surface from the",
        f"  point returned, carried back. Starts, targets, noise and budget ({BUDGET}) are those of [conditions.yaml](../runs_to_target/conditions.yaml), {seeds} seeds; only a whole run",
        "  reaches a target. Probes of `auto` count in full. Never arriving counts as one more than the budget.",
        "",
    ]
