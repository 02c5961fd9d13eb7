"""Tables of README.md from seeds.csv, runs.csv, throughput/ and full_run.json; those without rows say so."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd

from benchmarks import rows
from benchmarks.drawing import number, table
from benchmarks.gpu import GROUP, RUNS_GROUP
from benchmarks.throughput import page as throughput

BAR = 94.0  # percent, on the original images
NO_ROWS = "**Not measured yet**: it has not run on a GPU."
NOT_YET = "**It has not run on a GPU yet**; every number here is from a CPU."
ENDS = {"over": "ended by itself", "budget": "budget used up"}
SHOWN = ("data", "device", "precision", "torch", "overrides")


def values(folder: Path) -> dict[str, str]:
    """Tables of seeds, of seeds on CUDA devices alone, of runs until the target and of throughput; times of a full run."""
    seeds, runs = (pd.DataFrame(rows.read(folder / name)) for name in ("seeds.csv", "runs.csv"))
    cards = seeds[seeds["device"].str.startswith("cuda")] if len(seeds) else seeds
    images = folder / "throughput" / "result.json"
    return {
        "seeds": seed_table(seeds) if len(seeds) else NO_ROWS,
        "cards": seed_table(cards) if len(cards) else NOT_YET,
        "runs": run_table(runs) if len(runs) else NO_ROWS,
        "throughput": throughput.values(images.parent)["images"] if images.exists() else NO_ROWS,
        **(full_run(folder / "full_run.json") if (folder / "full_run.json").exists() else {}),
    }


def seed_table(seeds: pd.DataFrame) -> str:
    """A line for each set of comparable rows; ± is the standard deviation."""
    lines = []
    for _, found in seeds.groupby(list(GROUP), sort=False):
        accuracy, seconds = found["accuracy"].astype(float), found["seconds"].astype(float)
        lines.append(
            {
                **found.iloc[0][list(SHOWN)],
                "test accuracy, %": f"{accuracy.mean():.2f} ± {number(accuracy.std())}",
                "seeds": len(found),
                f"at {BAR:g} % or more": int((accuracy >= BAR).sum()),
                "diverged": int((found["diverged"] == "True").sum()),
                "seconds a run": f"{seconds.median():.1f} ({seconds.min():.1f} – {seconds.max():.1f})",
                "peak MiB": found["peak_memory_mib"].iloc[0] or None,
            }
        )
    return table(pd.DataFrame(lines))


def run_table(runs: pd.DataFrame) -> str:
    """A line for each search in each set of comparable studies; a study that was cut off counts nowhere."""
    last = runs.groupby([*RUNS_GROUP, "search", "seed"], sort=False).last().reset_index()
    last["needed"] = (last["run"].astype(int) + last["probes"].astype(float)).where(last["then"] == "target", math.inf)
    last["cell"] = [
        f"{row.needed:.4g}" if row.then == "target"
        else f"never in {row.run} ({ENDS[row.then]})" if row.then else f"cut off after {row.run}"
        for row in last.itertuples()
    ]  # fmt: skip
    every, lines = runs.groupby([*RUNS_GROUP, "search"], sort=False), []
    for key, found in last.groupby([*RUNS_GROUP, "search"], sort=False):
        ended = found[found["then"] != ""]
        middle = f"{sorted(ended['needed'])[len(ended) // 2]:.4g}" if len(ended) else None
        own = every.get_group(key)
        lines.append(
            {
                **found.iloc[0][[*SHOWN, "target", "search"]],
                "studies ended": len(ended),
                "reached": int((ended["then"] == "target").sum()),
                "median of runs until then": "never" if middle == "inf" else middle,
                "runs, seed by seed": ", ".join(found["cell"]),
                "best accuracy, %": own["accuracy"].astype(float).max(),
                "seconds a run": f"{own['seconds'].astype(float).median():.1f}",
            }
        )
    return table(pd.DataFrame(lines))


def full_run(path: Path) -> dict[str, str]:
    """Hours of a whole run by the epochs that were timed, and these epochs."""
    result = json.loads(path.read_text(encoding="utf-8"))
    epochs = pd.DataFrame(result["epochs"])
    shown = epochs.set_axis(["epoch", "training loss", "test loss", "test accuracy, %", "seconds"], axis=1)
    return {
        "full_hours": number(result["of"] * epochs["seconds"].mean() / 3600, 1),
        "full_device": f"{result['device']}, {result['precision']}",
        "full_seconds": " and ".join(number(value, 0) for value in epochs["seconds"]),
        "full_epochs": table(shown, {"training loss": 4, "test loss": 4, "seconds": 0}),
        "full_versions": ", ".join(f"{key} {value}" for key, value in result["versions"].items()),
    }
