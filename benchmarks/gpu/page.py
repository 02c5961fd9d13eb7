"""Draw README.md from the rows of the GPU check: five seeds of the hand-tuned setting, then throughput.

Rows whose `GROUP` differs are drawn apart. Where nothing ran yet the page says so.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import rows

HERE = Path(__file__).resolve().parent
COMMAND = "benchmarks/gpu/run.sh"
BAR = 94.0  # percent; the source's, on the original images
GROUP = (
    *("data", "checksum", "task", "epochs", "width", "batch_size", "image_size", "train_images"),
    *("learning_rate", "momentum", "weight_decay", "overrides", "device", "precision", "torch"),
)


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file, by its path in the folder."""
    drawn: dict[str, str | bytes] = {"README.md": draw(folder)}
    if (text := throughput(folder)) is not None:
        drawn["throughput/result.md"] = text
    return drawn


def readme_blocks() -> dict[str, str]:
    """What README.md says of GPUs."""
    ran = [(about, found) for about, found in groups(HERE) if about["device"].startswith("cuda")]
    if not ran:
        return {"gpu": "**It has not run on a GPU yet**; every number here is from a CPU."}
    return {"gpu": "\n".join(f"- {sentence(about, found)}" for about, found in ran)}


def groups(folder: Path) -> list[tuple[dict[str, str], list[dict[str, str]]]]:
    """The rows on file, those that may be averaged together in one list."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows.read(folder / "seeds.csv"):
        found.setdefault(tuple(row[key] for key in GROUP), []).append(row)
    return [(dict(zip(GROUP, key, strict=True)), members) for key, members in found.items()]


def sentence(about: dict[str, str], found: Sequence[rows.Row]) -> str:
    """One group in a line: mean, spread, n, seconds, share."""
    accuracies = [float(row["accuracy"]) for row in found]
    seconds = [float(row["seconds"]) for row in found]
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    share = sum(accuracy >= BAR for accuracy in accuracies)
    return (
        f"{about['data']} on {about['device']}, {about['precision']}, torch {about['torch']}: "
        f"{statistics.fmean(accuracies):.2f} %{spread} test accuracy (n={len(accuracies)}), {share} of {len(accuracies)} "
        f"at {BAR:g} % or more, {statistics.median(seconds):.1f} s a run ({min(seconds):.1f} to {max(seconds):.1f})"
    )


def seeds_section(about: dict[str, str], found: Sequence[rows.Row]) -> list[str]:
    """One group: what it was, its line, its rows."""
    changed = f", changed: {about['overrides']}" if about["overrides"] else ""
    jpeg = ["", f"These images are JPEG copies; {BAR:g} % is the source's bar on the original ones."]
    return [
        f"## {about['data']}, {about['device']}, {about['precision']}, torch {about['torch']}{changed}",
        "",
        f"`task={about['task']}`: {about['epochs']} epochs of {about['train_images']} images at {about['image_size']} × "
        f"{about['image_size']}, batch {about['batch_size']}, width {about['width']}; λ={about['learning_rate']}, "
        f"ρ={about['momentum']}, α={about['weight_decay']}; checksum {about['checksum']}.",
        *(jpeg if "JPEG" in about["data"] else []),
        "",
        f"{sentence(about, found)}.",
        "",
        "| seed | test accuracy | seconds | peak memory, MiB | code |",
        "|---|---|---|---|---|",
        *(
            f"| {row['seed']} | {row['accuracy']} %{' (diverged)' if row['diverged'] == 'True' else ''} | "
            f"{float(row['seconds']):.1f} | {row['peak_memory_mib'] or '–'} | {row['git'][:10] or '–'} |"
            for row in sorted(found, key=lambda row: int(row["seed"]))
        ),
        "",
    ]


def throughput(folder: Path) -> str | None:
    """The throughput benchmark's own table of what ran here; None where it has not."""
    path = folder / "throughput" / "result.json"
    if not path.exists():
        return None
    from benchmarks.throughput import page

    return str(page.draw(json.loads(path.read_text(encoding="utf-8"))))


def draw(folder: Path) -> str:
    """The whole page."""
    lines = [
        "# The check on a GPU",
        "",
        f"Drawn by `python -m benchmarks.gpu --draw` from `seeds.csv`, which `{COMMAND}` fills row by row: the source's",
        "hand-tuned setting, trained once a seed on all training images and judged on the test images.",
        "",
    ]
    found = groups(folder)
    if not any(about["device"].startswith("cuda") for about, _ in found):
        lines += [
            f"**Nothing here has run on a GPU yet.** With a card: `{COMMAND} --minutes 60`; the same command goes on where",
            "it stopped. Where nothing can be downloaded: `--data cifar10.npz` (x_train, y_train, x_test, y_test; uint8",
            "images of 32 × 32 × 3), with `--jpeg` if they are JPEG copies. `--help` lists the rest.",
            "",
        ]
    for about, members in found:
        lines += seeds_section(about, members)
    if (folder / "throughput" / "result.json").exists():
        lines += ["Throughput: [throughput/result.md](throughput/result.md).", ""]
    lines += ["Runs until 94 %: [../runs_to_94](../runs_to_94/README.md).", ""]
    return "\n".join(lines)
