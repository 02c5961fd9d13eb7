"""Draw README.md from the `.csv` and `.json` files beside it: the source's table, ours, and its three remarks."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STUDIES = ("source", "typical", "finer")
SOURCE = [  # reference/004: train run, λ, ρ, α, λα/(1−ρ), accuracy; its start is numbered 0
    ("0", "0.001", "0.5", "0.01", "0.00002", "30.6"),
    ("10", "0.256", "0.5", "0.01", "0.00512", "93.0"),
    ("13", "0.128", "0.75", "0.01", "0.00512", "93.2"),
    ("17", "1.024", "0.75", "0.00125", "0.00512", "93.9"),
    ("20", "0.512", "0.75", "0.00125", "0.00256", "94.1"),
    ("22", "0.256", "0.875", "0.00125", "0.00256", "94.2"),
]


def results() -> dict[str, str | bytes]:
    """Every drawn file beside this one, by name."""
    return {"README.md": draw()}


def read(name: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """One study's raw files."""
    with (HERE / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def table(rows: list[dict[str, str]], facts: dict[str, Any]) -> list[str]:
    """The source's table of one search, as Markdown."""
    lines = ["| train runs | axis | λ | ρ | α | λα/(1−ρ) | validation accuracy |", "|---|---|---|---|---|---|---|"]
    by_run = {row["run"]: row for row in reversed(rows)}
    for line in facts["axes"]:
        row = by_run[str(line["row"])]
        numbers = [f"{float(row[key]):.6g}" for key in ("learning_rate", "momentum", "weight_decay", "c1")]
        lines.append(f"| {line['runs']} | {line['axis']} | {' | '.join(numbers)} | {row['accuracy']} % |")
    return lines


def by_point(facts: dict[str, Any]) -> dict[str, list[float]]:
    """Confirming runs by the hyperparameters they were made with; the winner's were made first."""
    found: dict[str, list[float]] = {}
    for key, record in facts["confirmed"].items():
        if record["value"] is not None:
            found.setdefault(key.rpartition(";")[0], []).append(record["value"])
    return found


def groups(facts: dict[str, Any]) -> list[list[float]]:
    """Confirmed accuracies: the winner's, then the start's."""
    return list(by_point(facts).values())


def confirmed(facts: dict[str, Any]) -> str:
    """Mean and spread of the confirming runs, winner first."""
    words = []
    for key, values in by_point(facts).items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        words.append(f"{statistics.fmean(values):.2f} %{spread} (n={len(values)}; {key.replace(',', ', ')})")
    return "; ".join(words)


def remarks() -> list[str]:
    """The source's three remarks against these runs."""
    source_rows, source = read("source")
    _, typical = read("typical")
    _, finer = read("finer")
    by_run = {row["run"]: row for row in source_rows}
    c1 = [float(by_run[str(line["row"])]["c1"]) for line in source["axes"]]
    ratio = max(c1[1] / c1[-1], c1[-1] / c1[1])
    held = "held" if ratio <= 2 else "did not hold"
    last = typical["axes"][-1]["runs"]
    best = int(typical["axes"][-1]["row"])
    tuned = [statistics.fmean(finer["accuracies"][index]) for index in (0, int(finer["axes"][-1]["row"]) - 1)]
    fine, coarse = groups(finer)[:2]  # fresh seeds on test: the finer search's winner, and where it started
    gain = statistics.fmean(fine) - statistics.fmean(coarse)
    error = 2 * (statistics.variance(fine) / len(fine) + statistics.variance(coarse) / len(coarse)) ** 0.5
    nothing = gain <= error
    return [
        f"- *λα/(1−ρ) is within a factor of two of its end after the first axis*: {held} here: {c1[1]:.3g} after the",
        f"  first axis, {c1[-1]:.3g} at the end, a factor of {ratio:.3g}. Times the steps of a run ({source['steps']}) the",
        f"  end is {c1[-1] * source['steps']:.3g} (the source's: 6.0).",
        f"- *Fewer than 10 runs from a reasonable start*: {'held' if last < 10 else 'did not hold'} here, counted as the",
        "  source counts (the end of the last axis that brought a gain): from λ=0.1, ρ=0.9, α=0.0005 that was after",
        f"  {last} runs; the best point was run {best}, and the search stopped by itself after {typical['runs']}.",
        f"- *Finer steps with repeats bring nothing*: {'held' if nothing else 'did not hold'} here. From the winner, steps",
        f"  of √2, three seeds a point: {tuned[0]:.2f} % there, {tuned[1]:.2f} % at the best of {finer['runs']} points, which",
        f"  flatters the best. With {len(fine)} fresh seeds on test: {statistics.fmean(coarse):.2f} % before,",
        f"  {statistics.fmean(fine):.2f} % after ({gain:+.2f}; twice the standard error of the difference is {error:.2f}).",
    ]


def draw() -> str:
    """The whole page."""
    pages = {name: read(name) for name in STUDIES}
    facts = pages["source"][1]
    made = facts["provenance"]
    seconds = [float(row["seconds"]) for row in pages["source"][0] if row["seconds"]]
    lines = [
        "# The source's table, on a small CIFAR-10",
        "",
        "Drawn by `python -m benchmarks.myrtle_table` from the `.csv` and `.json` files here, which",
        "`benchmarks/myrtle_table/run.sh PATH/TO/cifar10.npz threads=1` made. Data: CIFAR-10 (JPEG), `task=cifar10_small`:",
        "10,000 images at 16×16, width 8, six epochs of batch 32; accuracies on 5,000 validation images. One seed a point.",
        "Logs: `source.log`, `typical.log`, `finer.log`.",
        "",
        f"Made with torch {made['torch']}, optuna {made['optuna']}, numpy {made['numpy']}, Python {made['python']}, "
        f"{made['device']}, {made['precision']}, {made['threads']} thread, two searches side by side on two cores; "
        f"median {statistics.median(seconds):.1f} s a run (n={len(seconds)}, {min(seconds):.1f} to {max(seconds):.1f}).",
        "",
        "## Ours",
        "",
        *table(*pages["source"]),
        "",
        f"The search stopped by itself after {facts['runs']} runs." if facts["over"] else "The search was cut off.",
        f"Confirmed on the 10,000 test images with fresh seeds: {confirmed(facts)}.",
        "",
        "## The source's (How to Train Your ResNet 5; CIFAR-10 at 32×32, width 64, 24 epochs, test accuracy)",
        "",
        "| train run | λ | ρ | α | λα/(1−ρ) | test accuracy |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} % |" for row in SOURCE),
        "",
        "## Its remarks",
        "",
        *remarks(),
        "",
        "## From a typical start",
        "",
        *table(*pages["typical"]),
        "",
        f"Stopped after {pages['typical'][1]['runs']} runs. Confirmed on test: {confirmed(pages['typical'][1])}.",
        "",
    ]
    return "\n".join(lines)
