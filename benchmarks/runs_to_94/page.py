"""Draw README.md from runs.csv: how many training runs each search needed until its first run at the target.

A study that never got there is counted, as more runs than it made; one that was cut off is shown, and counted nowhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import rows
from benchmarks.gpu.page import GROUP as TRAINING

HERE = Path(__file__).resolve().parent
COMMAND = "make bench-94"
GROUP = (*(key for key in TRAINING if key not in ("learning_rate", "momentum", "weight_decay")), "target", "bar")
ENDS = {"over": "ended by itself", "budget": "budget used up"}


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file, by its path in the folder."""
    return {"README.md": draw(folder)}


def groups(folder: Path) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """The rows on file, those that may be compared with each other in one list."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows.read(folder / "runs.csv"):
        found.setdefault(tuple(row[key] for key in GROUP), []).append(row)
    return found


def studies(members: Sequence[dict[str, str]]) -> dict[str, list[list[dict[str, str]]]]:
    """Search → its studies, each a list of rows, by seed."""
    found: dict[str, dict[int, list[dict[str, str]]]] = {}
    for row in members:
        found.setdefault(row["search"], {}).setdefault(int(row["seed"]), []).append(row)
    return {search: [by_seed[seed] for seed in sorted(by_seed)] for search, by_seed in found.items()}


def needed(last: rows.Row) -> float:
    """Runs until the target, by the row that reached it; the probes of an automatic start in runs."""
    return int(last["run"]) + float(last["probes"])


def cell(study: Sequence[rows.Row]) -> str:
    """One study in a word: the run that reached the target, or why there is none."""
    last = study[-1]
    if last["then"] == "target":
        return f"{needed(last):.4g}"
    return f"never in {len(study)} ({ENDS[last['then']]})" if last["then"] else f"cut off after {len(study)}"


def median(found: Sequence[Sequence[rows.Row]]) -> str:
    """The middle number of runs of the studies that ended; one that never got there lies above all that did."""
    runs = [needed(study[-1]) if study[-1]["then"] == "target" else math.inf for study in found if study[-1]["then"]]
    if not runs:
        return "–"
    middle = statistics.median_high(runs)
    return "never" if math.isinf(middle) else f"{middle:.4g}"


def table(members: Sequence[dict[str, str]]) -> list[str]:
    """A line a search."""
    lines = [
        "| search | studies ended | reached | median of runs until then | runs, seed by seed | best accuracy | s a run |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for search, found in studies(members).items():
        ended = [study for study in found if study[-1]["then"]]
        reached = sum(study[-1]["then"] == "target" for study in ended)
        best = max(float(row["accuracy"]) for study in found for row in study)
        seconds = statistics.median(float(row["seconds"]) for study in found for row in study)
        cells = ", ".join(cell(study) for study in found)
        lines.append(
            f"| {search} | {len(ended)} | {reached} | {median(found)} | {cells} | {best:.2f} % | {seconds:.1f} |"
        )
    return lines


def section(about: dict[str, str], members: Sequence[dict[str, str]]) -> list[str]:
    """One set of comparable studies."""
    changed = f", changed: {about['overrides']}" if about["overrides"] else ""
    return [
        f"## {about['data']}: {about['target']} % on {about['device']}, {about['precision']}, torch {about['torch']}{changed}",
        "",
        f"`task={about['task']}`: {about['epochs']} epochs of {about['train_images']} images at {about['image_size']} × "
        f"{about['image_size']}, batch {about['batch_size']}, width {about['width']}; target {about['target']} % ({about['bar']}); "
        f"at most {max(int(row['budget']) for row in members)} runs a study; checksum {about['checksum']}.",
        "",
        *table(members),
        "",
    ]


def draw(folder: Path) -> str:
    """The whole page."""
    lines = [
        "# Training runs until 94 %",
        "",
        f"Drawn by `python -m benchmarks.runs_to_94 --draw` from `runs.csv`, which `{COMMAND}` fills: every run is judged",
        "on the test images, the source's own protocol. `flatdirs` begins as users would, at `start=auto`, whose probes count as runs, in",
        "fractions; `flatdirs_source` is the same search from the source's start (λ=0.001, ρ=0.5, α=0.01), where `myrtle`, the source's search, begins.",
        "Random and TPE draw from `box` in conf/tune.yaml; a seed sets weights, data order and what is drawn. A study that ended without",
        "reaching the target counts as more runs than any that did (the median is the upper one of two); one cut off counts nowhere.",
        "",
    ]
    found = groups(folder)
    if not found:
        lines += [
            f'**It has not run yet**: it wants a GPU. `{COMMAND}` with `BENCH="--data cifar10.npz --minutes 60"` begins, and the',
            "same command goes on. For JPEG copies of the images the target is the hand-tuned setting's mean on them less 0.1, measured",
            "first, instead of 94 %: the usual copy is known by its checksum, for any other add `--jpeg`.",
            "",
        ]
    for key, members in found.items():
        lines += section(dict(zip(GROUP, key, strict=True)), members)
    return "\n".join(lines)
