"""README.md and the figures of this folder, from the raw rows alone."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from benchmarks.lattice import lattices
from benchmarks.lattice.findings import Evidence, power, products
from benchmarks.lattice.lattices import HERE, MOST_SEEDS, Lattice

COMMAND = "python -m benchmarks.lattice"
BEST = 8  # cells shown
SYMBOLS = {"learning_rate": "λ", "weight_decay": "α", "one_minus_momentum": "1−ρ", "one_minus_beta1": "1−β₁"}
NOTHING = "Not measured yet."


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    every = [Evidence(lattice, folder) for lattice in lattices.read().values()]
    return {"README.md": "\n".join(page(every, folder)), **pictures(every)}


def pictures(every: list[Evidence]) -> dict[str, str | bytes]:
    """A figure for every lattice that has cells."""
    from benchmarks.lattice import figures

    return {f"{evidence.lattice.name}.png": figures.picture(evidence) for evidence in every if evidence.runs}


def page(every: list[Evidence], folder: Path) -> list[str]:
    """The whole page."""
    lines = [
        "# Lattices of real training runs",
        "",
        f"Made by `{COMMAND} task=…`, the same command as often as you like: it goes on where it stopped, and several",
        "processes share the work. [lattices.yaml](lattices.yaml) holds the conditions, fixed before the first run that counts (ranges were",
        "widened on a few single runs near the sides, which are not on file); every run is one of flatdirs' own trainer, as",
        "`flatdirs.tune` trains it (triangle unless said otherwise, validation images, one thread).",
        "",
        "Every axis goes in factors of two. First come corners, middles of sides and cells spread by a Sobol sequence; then, in rounds,",
        f"cells beside the best ones and more seeds on the ridge, up to {MOST_SEEDS} (`refinement.py` has the rule). `NAME.csv` has a row for every run:",
        "its cell as powers of two, the hyperparameters, and every epoch's losses and accuracy; `made` is a key of `provenance.json`.",
        "`probes.csv` has 20 seeds of the step sampling that a search may start from. Accuracies are percent of the validation images, and a",
        "diverged run counts as guessing; the *level* is the mean of the ten best cells, for the best of hundreds of noisy runs is luck.",
        "",
        *made_with(folder),
    ]
    for evidence in every:
        lines += section(evidence)
    return lines


def made_with(folder: Path) -> list[str]:
    """Versions and devices, each once, in a paragraph of their own."""
    path = folder / "provenance.json"
    entries = json.loads(path.read_text(encoding="utf-8")).values() if path.exists() else ()
    different = list(
        dict.fromkeys(
            f"Made with torch {made['torch']}, numpy {made['numpy']}, Python {made['python']}, {made['precision']} on "
            f"{made['device']}, {made['threads']} thread."
            for made in entries
        )
    )
    return [*different, ""] if different else []


def section(evidence: Evidence) -> list[str]:
    """One lattice."""
    lattice = evidence.lattice
    lines = [f"## {lattice.name}", "", conditions(lattice), ""]
    if not evidence.runs:
        return [*lines, NOTHING, "", probes(evidence), ""]
    return [
        *lines,
        extent(evidence),
        "",
        f"![accuracy of every cell]({lattice.name}.png)",
        "",
        *best_cells(evidence),
        "",
        *sides(evidence),
        "",
        *spread(evidence),
        "",
        probes(evidence),
        "",
    ]


def conditions(lattice: Lattice) -> str:
    """Task, optimizer and ranges."""
    ranges = ", ".join(f"{SYMBOLS[axis.name]} from 2^{axis.first} to 2^{axis.last}" for axis in lattice.axes)
    changes = "".join(f", `task.{key}={value}`" for key, value in lattice.changes.items())
    schedule = f", `schedule={lattice.schedule}`" if lattice.schedule != "triangle" else ""
    keys = f"`task={lattice.task}`, `optimizer={lattice.optimizer}`{schedule}{changes}"
    return f"{keys}; {ranges}: {lattice.size} cells."


def extent(evidence: Evidence) -> str:
    """How much of it there is."""
    lattice, seeds = evidence.lattice, [len(values) for values in evidence.cells.values()]
    spread_cells = sum(cell in evidence.cells for cell in lattice.order)
    repeated = ", ".join(f"{sum(n >= k for n in seeds)} with {k} or more" for k in range(2, MOST_SEEDS + 1))
    diverged = sum(result.diverged for result in evidence.runs.values())
    seconds = statistics.median(result.seconds for result in evidence.runs.values())
    return (
        f"{len(evidence.runs)} runs in {len(seeds)} cells so far ({spread_cells} of the {len(lattice.order)} spread "
        f"ones; {lattice.cells} cells are wanted): {repeated} seeds. {diverged} runs diverged. Level {evidence.level:.2f} %; "
        f"{len(evidence.ridge)} cells lie within {lattice.near:g} points of it. Median {seconds:.1f} s a run."
    )


def best_cells(evidence: Evidence) -> list[str]:
    """The cells with the highest means."""
    lattice = evidence.lattice
    names = [SYMBOLS[axis.name] for axis in lattice.axes]
    lines = [
        "Best cells (with two seeds or more, where there are any), all numbers but accuracies as powers of two:",
        "",
    ]
    lines += [f"| {' | '.join(['seeds', 'mean', 'each', *names, *extra(lattice)])} |"]
    lines += ["|" + "---|" * (3 + len(names) + len(extra(lattice)))]
    for cell in evidence.best[:BEST]:
        values = evidence.cells[cell]
        numbers = [*cell, *(power(cell, exponents) for exponents in extra(lattice).values())]
        each = ", ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {len(values)} | {evidence.means[cell]:.2f} | {each} | {' | '.join(map(str, numbers))} |")
    return lines


def extra(lattice: Lattice) -> dict[str, tuple[int, int, int]]:
    """The products that are no axis by themselves."""
    return {name: exponents for name, exponents in products(lattice).items() if sum(map(abs, exponents)) > 1}


def sides(evidence: Evidence) -> list[str]:
    """How bad it is where every axis ends."""
    lines = ["Where the axes end (α may end on a plateau, 1−ρ = 1 and 1−β₁ = 1 are walls):", ""]
    lines += ["| side | cells | best of them, points below the level | at chance or diverged |", "|---|---|---|---|"]
    for axis in evidence.lattice.axes:
        for end in (axis.first, axis.last):
            means = evidence.side(axis, end)
            best = f"{evidence.level - max(means):.1f}" if means else "–"
            guessing = sum(mean <= 15 for mean in means)
            lines.append(f"| {SYMBOLS[axis.name]} = 2^{end} | {len(means)} | {best} | {guessing} |")
    return lines


def spread(evidence: Evidence) -> list[str]:
    """The standard deviation between seeds."""
    if not evidence.bands:
        return [f"Spread between seeds: {NOTHING.lower()}"]
    lines = [
        "Spread between seeds, pooled over cells:",
        "",
        "| points below the level | cells | runs | standard deviation |",
    ]
    lines += ["|---|---|---|---|"]
    for band in evidence.bands:
        lines.append(f"| {band.low:g} to {band.high:g} | {band.cells} | {band.runs} | {band.deviation:.2f} |")
    return lines


def probes(evidence: Evidence) -> str:
    """What step sampling picked."""
    picks = evidence.picks
    if picks is None:
        return f"Step sampling: {NOTHING.lower()}"
    where = ", ".join(f"{name} {value:g}" for name, value in evidence.lattice.probe.items())
    text = f"Step sampling at {where}: {len(picks.rates)} of {picks.searches} seeds had an answer"
    if picks.rates:
        middle = statistics.geometric_mean(picks.rates)
        text += f", log_midpoint {middle:.3g} (geometric mean; {min(picks.rates):.3g} to {max(picks.rates):.3g})"
    return f"{text}. It cost as much as {picks.runs:.2f} runs."
