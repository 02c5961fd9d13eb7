"""Draw README.md: what every signal of a run says of its setting, lattice by lattice, and whether the search gains by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.lattice import lattices
from benchmarks.runs_to_target import fitting
from benchmarks.runs_to_target.cells import Array
from benchmarks.runs_to_target.findings import Evidence
from benchmarks.signals import gains
from benchmarks.signals.signals import (
    CONFIDENCE,
    HERE,
    SIGNALS,
    Runs,
    added,
    intervals,
    near_the_top,
    rank_correlations,
    transferred,
)

VERDICT = (
    "Of these signals the search looks at the accuracy and, on its first line, at the loss; T·λα/(1−ρ) is a prior in its model, not a signal of a run.",
    "Whether it would gain from the loss at the peak is asked below.",
)
TIMELY = ("loss at the peak", "relaxation")  # what may say something else where runs are long
NEAR = (3.0, 6.0)  # points below the best of the fit
FEWEST = 40  # runs that say anything
BESIDE = tuple(SIGNALS)[1:]  # what accuracy is joined with
CLEAR = 0.01  # by so much a coefficient must rise to count as a gain


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file beside this one, by name."""
    names = [name for name in lattices.read() if fitting.known(name) is not None]  # whole ones: they have been run
    sections, gained, longer = [], [], list[str]()
    for points in NEAR:
        found = {name: near_the_top(name, points) for name in names}
        found = {name: runs for name, runs in found.items() if len(runs.worth) >= FEWEST}
        moved = transfers(found)
        sections += [*section(points, found), *transfer_table(moved)]
        gained.append(moved)
        longer = longer or by_length(found, {name: Evidence(name).facts["epochs"] for name in found})
    return {
        "README.md": "\n".join(
            [*introduction(), *conclusion(gained[0], longer), *gains.section(gains.Searches(folder)), *sections]
        )
    }


def introduction() -> list[str]:
    """What is asked, and how."""
    return [
        "# What a run tells besides its accuracy",
        "",
        "`python -m benchmarks.signals` simulates the searches below that are not on file, and draws this page from them and from the runs of",
        "[../lattice](../lattice/README.md); nothing is trained.",
        "",
        "Would a search choose better if it looked at more than one number a run? Every signal of a single run is compared with what its cell",
        "is worth, by the smooth fit to all *other* cells of the lattice (ten folds), so that the noise of the run is not in the answer.",
        f"Coefficients are Spearman's, over runs in cells worth nearly as much as the best; in brackets {CONFIDENCE} % bootstrap intervals over cells.",
        "*Adds* is the partial coefficient, given the accuracy: what a signal says beyond it.",
        "",
        *(f"- *{name}*: {what}" for name, what in SIGNALS.items()),
        "",
    ]


def section(points: float, found: dict[str, Runs]) -> list[str]:
    """Every signal alone and beside the accuracy, for the cells within so many points of the best."""
    heads = " | ".join(f"{name} | adds" for name in found)
    counts = ", ".join(f"{name}: {len(runs.worth)} runs" for name, runs in found.items())
    lines = [f"## Within {points:g} points of the best", "", f"{counts}.", ""]
    lines += [f"| signal | {heads} |", "|---" * (1 + 2 * len(found)) + "|"]
    tables = {name: (rank_correlations(runs), added(runs), *intervals(runs)) for name, runs in found.items()}
    for number, signal in enumerate(SIGNALS):
        entries = []
        for plain, more, around, more_around in tables.values():
            entries.append(_shown(plain[number], around[:, number]))
            entries.append(_shown(more[number], more_around[:, number]) if number else "")
        lines.append(f"| {signal} | {' | '.join(entries)} |")
    return [*lines, ""]


def _shown(value: float, ends: Array) -> str:
    return f"{value:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def transfers(found: dict[str, Runs]) -> dict[tuple[str, str], list[float]]:
    """(learnt on, used on) → the coefficient of accuracy alone, then of accuracy with each signal of BESIDE."""
    names = list(SIGNALS)
    return {
        (learnt, used): [
            float(rank_correlations(found[used])[0]),
            *(transferred(found[learnt], found[used], [0, names.index(signal)]) for signal in BESIDE),
        ]
        for learnt in found
        for used in found
        if learnt != used
    }


def transfer_table(moved: dict[tuple[str, str], list[float]]) -> list[str]:
    """Accuracy and one more signal, weighted as one lattice teaches, on another."""
    lines = [
        "Accuracy together with one more signal, weighted by a regression on one lattice and used on another:",
        "",
        f"| learnt on | used on | accuracy alone | and {' | and '.join(BESIDE)} |",
        "|---" * (3 + len(BESIDE)) + "|",
    ]
    for (learnt, used), values in moved.items():
        lines.append(f"| {learnt} | {used} | {' | '.join(f'{value:.2f}' for value in values)} |")
    return [*lines, ""]


def by_length(found: dict[str, Runs], epochs: dict[str, int]) -> list[str]:
    """What the signals of TIMELY add where runs are longest, and elsewhere."""
    if not found:
        return []
    longest = max(found, key=lambda name: epochs[name])
    others = [name for name in found if epochs[name] < epochs[longest]]
    if not others:
        return []
    _, around = intervals(found[longest])
    lines = []
    for signal in TIMELY:
        number = list(SIGNALS).index(signal)
        adds = {name: float(added(found[name])[number]) for name in (longest, *others)}
        elsewhere = ", ".join(f"{adds[name]:+.2f} on {name} ({epochs[name]})" for name in others)
        lines.append(
            f"Given the accuracy, *{signal}* adds {adds[longest]:+.2f} [{around[0, number]:+.2f}, {around[1, number]:+.2f}] on {longest}, "
            f"whose runs are the longest ({epochs[longest]} epochs), {elsewhere}."
        )
    return lines


def conclusion(moved: dict[tuple[str, str], list[float]], longer: Sequence[str] = ()) -> list[str]:
    """Which signals raise the coefficient wherever they are used, and which lower it somewhere; near the top."""
    lines = ["## What came out", ""]
    gained = {
        signal: [values[1 + number] - values[0] for values in moved.values()] for number, signal in enumerate(BESIDE)
    }
    for signal, found in sorted(gained.items(), key=lambda pair: -min(pair[1])):
        better, worse = sum(gain > CLEAR for gain in found), sum(gain < -CLEAR for gain in found)
        lines.append(
            f"- *{signal}* beside the accuracy: better in {better} of {len(found)} transfers, worse in {worse} "
            f"({min(found):+.2f} to {max(found):+.2f})."
        )
    return [*lines, "", *longer, *VERDICT, ""]
