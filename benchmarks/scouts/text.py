"""What the page says around its tables: what a scout is, what was found, and how it was done."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.lattice.page import SYMBOLS
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET, TARGETS
from benchmarks.scouts import plan, ridges
from benchmarks.scouts.findings import BANDS, EVERY, Evidence, Saving
from benchmarks.scouts.plan import MAIN, PLANS, TRANSFERS, Plan

__all__ = ["SYMBOLS", "WORDS", "conclusion", "introduction", "method"]

COMMAND = "python -m benchmarks.scouts"
WORDS = {"same": "*same* setting", "rate": "*rate*: scout at λ×4", "decay": "*decay*: scout at α×4"}
SAVED = ("source", "good", "careless_low")  # starts from which a line of scouts saves anything at 2 %


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
    near = BANDS[1]
    ranked = [found.correlation(carried, near).value for carried in TRANSFERS]
    rate, averaging, decay = (axis[1][0] for axis in found.facts["shifts"])
    totals = ", ".join(f"{interval(found.saving(MAIN.name, EVERY, target))} at {target:g} %" for target in TARGETS)
    least = [min(_mean(found, start, kind, 2.0) for kind in PLANS if kind.most is None) for start in SAVED]
    return [
        "## What came out",
        "",
        f"**No: the search does not send scouts.** On `{found.name}`, scouts along the line, with the transfer that was to be judged, add to the cost, over all six starts:",
        f"{totals} [95 %], in whole runs. The search alone is within 2 % after one or two runs from most starts; three to four",
        "scouts cost nearly one, and the whole runs behind them arrive hardly sooner. The most that scouts on the line save at 2 % is "
        f"{-min(least):.2f} of a run, from {', '.join(f'`{start}`' for start in SAVED)}.",
        "From `typical` and `auto` scouts cost more on average at every target under every plan. `careless_low` gains many runs at 0.5 %, where the search alone is slow",
        "and sometimes never arrives, and about one at 1 % with eight scouts; `careless_high` gains half a run at 2 % and 1 % under one of the eight plans. No plan helps from all",
        "starts, and plans that differ by where their strides land differ from one start by several runs either way: that is luck of the grid, not a rule to build on.",
        "",
        f"T·c₁ is not what a scout keeps. Its best λ lies {rate:+.1f} and its best 1−ρ {averaging:+.1f} octaves from the whole run's, where T·c₁ would have +2 and −2; that is nearer to",
        f"λ/(1−ρ), which would have 0. Its best α is lower ({decay:+.1f} octaves), not higher. The stretch of good λ shrinks from both sides. So the same setting ranks whole runs best:",
        f"within {near:g} points of the level Spearman's correlation is {ranked[0]:.2f}, against {ranked[1]:.2f} and {ranked[2]:.2f} with T·c₁ kept through λ and through α.",
        "",
        "This is one task, whose whole run is short already (360 steps, scouts 90), and six starts that are no sample: intervals are over noise at these starts.",
        "A second lattice is not measured whole, and nothing here speaks of long schedules.",
        "",
    ]


def interval(found: Saving | None) -> str:
    """A mean difference as the sentences have it."""
    assert found is not None
    off = found.difference
    return f"{off.value:+.2f} [{off.low:+.2f}, {off.high:+.2f}]"


def _mean(found: Evidence, start: str, kind: Plan, target: float) -> float:
    saved = found.saving(kind.name, start, target)
    return 0.0 if saved is None else saved.difference.value


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
