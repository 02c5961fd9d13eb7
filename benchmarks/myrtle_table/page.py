"""Tables and numbers of the three searches, from their rows (SEARCH.csv) and facts (SEARCH.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drawing import table

HERE = Path(__file__).resolve().parent
STUDIES = ("source", "typical", "finer")
SETTING = r"(?:learning_rate|lr)=(?P<lr>[^,]*),momentum=(?P<momentum>[^,]*),(?:weight_decay|wd)=(?P<wd>[^,;]*)"


def values(folder: Path = HERE) -> dict[str, str]:
    """The table of each search, its confirmations, and the numbers behind Myrtle's three remarks."""
    facts = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in STUDIES}
    rows = {name: pd.read_csv(folder / f"{name}.csv").drop_duplicates("run") for name in STUDIES}
    axes = {name: pd.DataFrame(facts[name]["axes"]).rename(columns={"runs": "train runs"}) for name in STUDIES}
    lines = {name: axes[name].merge(rows[name].drop(columns="axis"), left_on="row", right_on="run") for name in STUDIES}
    c, seconds = lines["source"]["c1"], rows["source"]["seconds"]
    tuned = [np.mean(facts["finer"]["accuracies"][row - 1]) for row in (1, axes["finer"]["row"].iloc[-1])]
    after, before = (group for _, group in confirming(facts["finer"]))
    return {
        "source": shown(lines["source"]),
        "typical": shown(lines["typical"]),
        "confirmed": table(pd.concat([confirmed(name, facts[name]) for name in STUDIES])),
        "seconds": f"{seconds.median():.1f} s ({seconds.min():.1f} to {seconds.max():.1f}, n={len(seconds)})",
        **{f"{name}_runs": str(facts[name]["runs"]) for name in STUDIES},
        "ratio": f"{max(c.iloc[1] / c.iloc[-1], c.iloc[-1] / c.iloc[1]):.3g}",
        "steps_times_c": f"{c.iloc[-1] * facts['source']['steps']:.3g}",
        "typical_last": str(axes["typical"]["train runs"].iloc[-1]),
        "finer_start": f"{tuned[0]:.2f} %",
        "finer_best": f"{tuned[1]:.2f} %",
        "finer_gain": f"{after.mean() - before.mean():+.2f}",
        "finer_error": f"{2 * np.hypot(after.sem(), before.sem()):.2f}",
    }


def shown(lines: pd.DataFrame) -> str:
    """The best run after the start and after each axis that brought a gain, as Myrtle's table has it."""
    lines = lines.replace({"λα/(1−ρ)": "lr·wd/(1−momentum)", "1−ρ": "1−momentum", "α": "wd"})
    names = {"learning_rate": "lr", "momentum": "momentum", "weight_decay": "wd", "c1": "lr·wd/(1−momentum)"}
    short = lines[list(names)].map("{:.6g}".format).rename(columns=names)
    accuracy = lines["accuracy"].map("{:.2f} %".format).rename("validation accuracy")
    return table(pd.concat([lines[["train runs", "axis"]], short, accuracy], axis=1))


def confirming(facts: dict[str, Any]) -> Any:
    """Test accuracies with fresh seeds, grouped by point: the winner's, then the start's."""
    found = pd.DataFrame(facts["confirmed"]).T.dropna(subset="value")
    return found["value"].astype(float).groupby(found.index.str.rpartition(";").get_level_values(0), sort=False)


def confirmed(name: str, facts: dict[str, Any]) -> pd.DataFrame:
    """Mean and standard deviation of winner and start on test images."""
    found = confirming(facts).agg(["mean", "std", "size"])
    setting = found.index.str.extract(SETTING).astype(float).map("{:.4g}".format)
    test = found["mean"].map("{:.2f} %".format) + found["std"].map(" ± {:.2f}".format)
    point = pd.Series([f"winner of `{name}`", f"start of `{name}`"], name="point")
    return pd.concat([point, setting, test.rename("test accuracy").reset_index(drop=True)], axis=1).dropna()
