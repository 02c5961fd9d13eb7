"""Tables of images per second, of flatdirs with one thing changed, of where a step's time goes, and of two runs at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drawing import number, table

TRIO = ("plain", "flatdirs", "floor")


def values(folder: Path) -> dict[str, str]:
    """All tables, and the machine."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    every, told = result["cases"], result["versions"]
    pairs = {"how": result["pairs"]["seconds"].keys(), "seconds": map(shown, result["pairs"]["seconds"].values())}
    return {
        "images": table(pd.DataFrame(map(images, every))),
        "levers": table(pd.DataFrame(map(levers, every))),
        "profile": profiles(every),
        "pairs": table(pd.DataFrame(pairs)),
        "machine": f"{told['cores']} cores ({told['processor']}), torch {told['torch']}",
        "data": result["images"].removeprefix("Images: "),
        "versions": ", ".join(f"{key} {value}" for key, value in told.items()),
    }


def shown(sample: Any, digits: int = 2) -> str:
    """Median (least – most)."""
    middle, low, high = (number(float(value), digits) for value in (np.median(sample), min(sample), max(sample)))
    return f"{middle} ({low} – {high})"


def images(case: dict[str, Any]) -> dict[str, Any]:
    """A line of the first table; ratios are taken within a round."""
    plain, own, floor = (np.array(case["seconds"][name]) for name in TRIO)
    return {
        "network": f"{case['name']}, {case['size']}×{case['size']}, batch {case['batch']}",
        "images/s: plain PyTorch (a)": shown(case["images"] / plain, 0),
        "flatdirs (b)": shown(case["images"] / own, 0),
        "b/a": shown(plain / own),
        "floor/step c/b": shown(floor / own),
        "peak MB a, b": ", ".join(number(case["peak_megabytes"][name], 0) for name in TRIO[:2]),
        "n": len(own),
        "load before": f"{case['load']:.1f}",
    }


def levers(case: dict[str, Any]) -> dict[str, str]:
    """Seconds of flatdirs with one thing changed over flatdirs' own in the same round."""
    times = {name: np.array(seconds) for name, seconds in case["seconds"].items()}
    changed = {name: shown(times[name] / times["flatdirs"]) for name in times if name not in TRIO}
    return {"time of a step against flatdirs'": case["name"], **changed}


def profiles(every: list[dict[str, Any]]) -> str:
    """Milliseconds a step by kind of work, and their share."""
    found = pd.DataFrame({case["name"]: case["profile"] for case in every})
    cells = found.map("{:,.2f}".format) + " (" + (found / found.sum()).map("{:.0%}".format) + ")"
    return table(cells.rename_axis("milliseconds a step (share)").reset_index())
