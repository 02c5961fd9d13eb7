"""What the page says around its tables: what a scout is, what was found, and how it was done."""

from __future__ import annotations

from benchmarks.lattice.page import SYMBOLS
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.findings import BUDGET
from benchmarks.scouts import plan, ridges

__all__ = ["SYMBOLS", "TRANSFERS", "conclusion", "introduction", "method"]

COMMAND = "python -m benchmarks.scouts"
TRANSFERS = {"same": "*same* setting", "rate": "*rate*: scout at λ×4", "decay": "*decay*: scout at α×4"}


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


def conclusion() -> list[str]:
    """What came out."""
    return ["## What came out", "", "PENDING", ""]


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
        "- **Searches.** `flatdirs` on the scouts' surface, until its line ends (*line*) or for eight scouts (*eight*), beginning where the transfer takes the start to, so that",
        "  the scouts try the same line of whole runs (*line from the start*: beginning at the start's own numbers). Then `flatdirs` anew on the whole runs' surface from the",
        f"  point returned, carried back. Starts, targets, noise and budget ({BUDGET}) are those of [conditions.yaml](../runs_to_target/conditions.yaml), {seeds} seeds; only a whole run",
        "  reaches a target. Probes of `auto` count in full. Never arriving counts as one more than the budget.",
        "",
    ]
