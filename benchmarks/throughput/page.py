"""Tables of images and of characters per second, of flatdirs with one thing changed, of where a step's time goes, and of two runs at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drawing import number, table

TRIO = ("plain", "flatdirs", "floor")


def values(folder: Path) -> dict[str, str]:
    """All tables, and the machine; those of images and of a text where there are rows."""
    readers = {"result.json": image_values, "text.json": text_values}
    found = {
        name: json.loads((folder / name).read_text(encoding="utf-8")) for name in readers if (folder / name).exists()
    }
    return {key: value for name, result in found.items() for key, value in readers[name](result).items()}


def image_values(result: dict[str, Any]) -> dict[str, str]:
    """Tables of images, and the machine."""
    every = result["cases"]
    pairs = {"how": result["pairs"]["seconds"].keys(), "seconds": map(shown, result["pairs"]["seconds"].values())}
    return {
        "images": table(pd.DataFrame(map(images, every))),
        "levers": table(pd.DataFrame(map(levers, every))),
        "profile": profiles(every),
        "pairs": table(pd.DataFrame(pairs)),
        "machine": machine(result),
        "data": result["images"].removeprefix("Images: "),
        "versions": versions(result),
    }


def text_values(result: dict[str, Any]) -> dict[str, str]:
    """Tables of a text, and the machine."""
    lines = table(pd.DataFrame(map(characters, result["cases"])))
    return {
        "text": lines,
        "text_profile": profiles(result["cases"]),
        "text_machine": machine(result),
        "text_versions": versions(result),
    }


def machine(result: dict[str, Any]) -> str:
    told = result["versions"]
    return f"{told['cores']} cores ({told['processor']}), torch {told['torch']}"


def versions(result: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in result["versions"].items())


def shown(sample: Any, digits: int = 2) -> str:
    """Median (least – most)."""
    middle, low, high = (number(float(value), digits) for value in (np.median(sample), min(sample), max(sample)))
    return f"{middle} ({low} – {high})"


def images(case: dict[str, Any]) -> dict[str, Any]:
    """A line of the first table; ratios are taken within a round."""
    network = f"{case['name']}, {case['size']}×{case['size']}, batch {case['batch']}"
    return speeds(case, network, "images", case["images"])


def characters(case: dict[str, Any]) -> dict[str, Any]:
    """The same of a text."""
    network = f"{case['name']}, width {case['width']}, context {case['size']}, batch {case['batch']}"
    return speeds(case, network, "characters", case["characters"])


def speeds(case: dict[str, Any], network: str, unit: str, count: int) -> dict[str, Any]:
    """`count` images or characters over the seconds of a piece."""
    plain, own, floor = (np.array(case["seconds"][name]) for name in TRIO)
    return {
        "network": network,
        f"{unit}/s: plain PyTorch (a)": shown(count / plain, 0),
        "flatdirs (b)": shown(count / own, 0),
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
