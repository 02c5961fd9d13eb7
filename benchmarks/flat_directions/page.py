"""README.md and the three pictures of this folder, from the raw cells (<slice>.csv) and facts (<slice>.json) alone."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks import pages
from flatdirs.report.heatmap import LABELS, flatness_sentence, read_cells, slice_figure, slope_sentence
from flatdirs.slices.cells import Run, SliceAxis, SliceGrid, by_cell
from flatdirs.slices.ridge import Ridge, claimed_exponent, fit_ridge

HERE = Path(__file__).resolve().parent
SLICES = ("weight_decay", "one_minus_momentum", "batch_size")
KEPT_FIXED = {"weight_decay": "λα", "one_minus_momentum": "λ/(1−ρ)", "batch_size": "λ/N"}
COMMAND = "benchmarks/flat_directions/run.sh PATH/TO/cifar10.npz"


def results() -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    drawn: dict[str, str | bytes] = {"README.md": page()}
    for name in SLICES:
        if (HERE / f"{name}.csv").is_file():
            grid, runs, _ = read(name)
            drawn[f"{name}.png"] = pages.png(slice_figure(grid, runs, "%"), 100)
    return drawn


def readme_blocks() -> dict[str, str]:
    """The table and the pictures that the top README shows."""
    there = [name for name in SLICES if (HERE / f"{name}.csv").is_file()]
    shown = [f"![{LABELS[name]} against learning rate](benchmarks/flat_directions/{name}.png)" for name in there]
    return {"slices": "\n".join([*table(), "", *shown])}


def read(name: str) -> tuple[SliceGrid, list[Run], dict[str, Any]]:
    """A slice's grid, runs and facts."""
    facts = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    grid = SliceGrid(SliceAxis(**facts["x"]), SliceAxis(**facts["y"]), facts["seeds"], facts["near"])
    return grid, read_cells(HERE / f"{name}.csv"), facts


def table() -> list[str]:
    """One line a slice: exponent, angle, what a doubling costs."""
    lines = [
        "| y, and what stays fixed on the ridge | b in λ ∝ yᵇ (claim) | angle | a doubling along costs | across | seeds' standard deviation |",
        "|---|---|---|---|---|---|",
    ]
    for name in SLICES:
        if (HERE / f"{name}.csv").is_file():
            grid, runs, _ = read(name)
            ridge = fit_ridge(grid, runs)
            lines.append(
                f"| {LABELS[name]}: {KEPT_FIXED[name]} | {'no ridge found | | | |' if ridge is None else cells(grid, ridge)}"
            )
    return lines


def cells(grid: SliceGrid, ridge: Ridge) -> str:
    """A table line's numbers."""
    both = [f"{cost.value:.2f} [{cost.low:.2f}, {cost.high:.2f}]" for cost in (ridge.along, ridge.across)]
    exponent, angle = ridge.exponent, ridge.angle
    return (
        f"{exponent.value:.2f} [{exponent.low:.2f}, {exponent.high:.2f}] ({claimed_exponent(grid):+.0f}) | "
        f"{angle.value:.0f}° [{angle.low:.0f}, {angle.high:.0f}] | {both[0]} | {both[1]} | {ridge.spread or 0:.2f} |"
    )


def verdict(name: str, grid: SliceGrid, ridge: Ridge | None) -> str:
    """One plain sentence on the source's claim. What counts as holding was fixed before the runs: 45° in the interval."""
    if ridge is None:
        return "*A ridge at 45°*: no ridge was found here."
    claim = claimed_exponent(grid)
    held = claim is not None and ridge.exponent.holds(claim)
    factor = 2 ** (abs(ridge.exponent.value - (claim or 0.0)) * ridge.doublings)
    away = f"over the {ridge.doublings:.0f} doublings seen, the fitted ridge ends a factor of {factor:.1f} from the claimed one"
    return f"*A ridge at 45°, {KEPT_FIXED[name]} constant*: {'held' if held else 'did not hold'} here; {away}."


def relaxation(ridge: Ridge, facts: dict[str, Any]) -> str:
    """How long the weights take to forget their first scale at the rows' tops, beside the length of a run.

    λα alone counts only after that (relaxation time of |w|⁴, derived).
    """
    steps = [(1 - facts["center"]["momentum"]) / (4 * 2 ** (point.log2_x + point.log2_y)) for point in ridge.points]
    return (
        f"Why it need not hold here: λα alone decides only once the weights have forgotten their first scale, after (1−ρ)/(4λα) "
        f"steps; at the tops of the rows, from the lowest α to the highest, that is {', '.join(f'{n:,.0f}' for n in steps)} of a "
        f"run's {facts['steps']:,} steps, most of which are spent below the peak rate. Where it is long, λ itself counts."
    )


def page() -> str:
    """README.md."""
    lines = [
        "# The flat directions, measured",
        "",
        f"Drawn by `python -m benchmarks.flat_directions --draw` from the `.csv` and `.json` files here, which `{COMMAND}` made.",
        "Data: CIFAR-10 (JPEG), `task=cifar10_small`: 10,000 images at 16×16, width 8, six epochs; accuracies on 5,000 validation",
        "images. The source (How to Train Your ResNet 5) drew the same slices for CIFAR-10 at 32×32, width 64, 24 epochs, around N=512,",
        "ρ=0.9, α=5e-4, and saw a ridge at 45° in each. Every cell was trained once, the best cell of each row and its neighbours three times.",
        "Intervals: 95 %, bootstrap over rows and seeds. Costs in percentage points, per doubling.",
        "",
        *table(),
        "",
    ]
    for name in SLICES:
        if not (HERE / f"{name}.csv").is_file():
            lines += [f"## {name}", "", "Not run yet.", ""]
            continue
        grid, runs, facts = read(name)
        ridge = fit_ridge(grid, runs)
        lines += [
            f"## {KEPT_FIXED[name]}",
            "",
            f"![{name} against learning_rate]({name}.png)",
            "",
            f"- {verdict(name, grid, ridge)}",
        ]
        if ridge is not None:
            lines += [f"- {slope_sentence(grid, ridge)}.", f"- {flatness_sentence(ridge, '%')}."]
            lines += [f"- {note}" for note in [relaxation(ridge, facts)] if name == "weight_decay"]
        lines += [f"- {made_with(grid, runs, facts)}", ""]
    return "\n".join(lines)


def made_with(grid: SliceGrid, runs: list[Run], facts: dict[str, Any]) -> str:
    """Size, centre, versions, time."""
    seconds = [run.seconds for run in runs if run.seconds]
    counts = [len(made) for made in by_cell(runs).values()]
    low, high = min(seconds), max(seconds)
    versions = ", ".join(f"{key} {facts['provenance'][key]}" for key in ("torch", "optuna", "numpy", "python"))
    settings = " ".join(f"{key}={value:g}" for key, value in facts["center"].items())
    return (
        f"{len(counts)} of {len(grid.cells())} cells, {len(runs)} runs, {sum(count > 1 for count in counts)} cells with several seeds; centre "
        f"{settings}. {versions}; {facts['provenance']['device']}, {facts['provenance']['precision']}, "
        f"{facts['provenance']['threads']} thread a run; median {statistics.median(seconds):.1f} s a run ({low:.1f} to {high:.1f}, other work beside them)."
    )
