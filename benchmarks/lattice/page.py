"""Tables and the figure of this folder's page, from the rows of the lattices and of their probes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from scipy.stats import gmean

from benchmarks import drawing
from benchmarks.lattice import lattices
from benchmarks.lattice.running import CHANCE

BANDS = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, float("inf")]  # points below the level
BEST = 3  # cells shown per lattice
AXES = ["lr", "1 − momentum", "wd"]  # with AdamW 1 − beta1; all as powers of two
RATIO, PRODUCT = "lr/(1 − momentum)", "lr·wd/(1 − momentum)"  # with AdamW lr and lr·wd


def cells(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every run of every lattice, a diverged one at chance; and a row a cell, with its points `below` the level."""
    found = {}
    for name, lattice in lattices.read().items():
        rows = pd.read_csv(folder / f"{name}.csv")
        rows = rows.rename(columns=dict(zip(rows.columns[:3], AXES, strict=True)))
        rows["accuracy"] = rows["accuracy"].mask(rows["diverged"] == 1, CHANCE)
        rows[RATIO] = rows["lr"] - (rows["1 − momentum"] if lattice.optimizer == "sgd" else 0)
        rows[PRODUCT] = rows[RATIO] + rows["wd"]
        found[name] = rows
    runs = pd.concat(found, names=["lattice"]).reset_index("lattice").sort_values("seed", kind="stable")
    grouped = runs.groupby(["lattice", *AXES, RATIO, PRODUCT])["accuracy"]
    table = grouped.agg(["mean", "size", "var", list]).reset_index()
    level = table.groupby("lattice")["mean"].transform(lambda means: means.nlargest(10).mean())
    return runs, table.assign(level=level, below=level - table["mean"])


def values(folder: Path) -> dict[str, str]:
    """What the page quotes."""
    runs, table = cells(folder)
    every, by = lattices.read(), table.groupby("lattice")
    found = runs.groupby("lattice").agg(runs=("seed", "size"), diverged=("diverged", "sum")).assign(cells=by.size())
    for count in (2, 3):
        found[f"{count} seeds or more"] = by["size"].agg(lambda seeds, count=count: (seeds >= count).sum())
    found["level (%)"] = by["level"].first()
    found["cells on the ridge"] = [int((some["below"] <= every[name].near).sum()) for name, some in by]
    found["s a run"] = runs.groupby("lattice")["seconds"].median().map("{:.1f}".format)
    top = table[table["size"] > 1].sort_values("mean", ascending=False, kind="stable").groupby("lattice").head(BEST)
    top = top.set_index("lattice").loc[list(every)].reset_index()
    top["each"] = [", ".join(f"{value:.2f}" for value in some) for some in top["list"]]
    tables = {
        "lattices": found.loc[list(every)].reset_index(),
        "probes": probes(folder).loc[list(every)].reset_index(),
        "best": top[["lattice", "mean", "each", *AXES, RATIO, PRODUCT]],
        "sides": sides(table)[["axis", "end", *every]],
        "noise": noise(table)[["points below the level", *every]],
    }
    return {name: drawing.table(some) for name, some in tables.items()}


def probes(folder: Path) -> pd.DataFrame:
    """What step sampling picked on each lattice, over its seeds, and its cost in runs."""
    rows = pd.read_csv(folder / "probes.csv")
    rows["cost"] = rows["cost_steps"] / rows["run_steps"]
    grouped = rows.groupby("lattice")
    picks = grouped["log_midpoint"].agg(["count", "size", lambda some: gmean(some.dropna()), "min", "max"])
    shown = [f"{middle:.3g} ({low:.3g} to {high:.3g})" for middle, low, high in picks.iloc[:, 2:].to_numpy()]
    answers = [f"{count} of {size}" for count, size in picks.iloc[:, :2].to_numpy()]
    columns = {"seeds with an answer": answers, "lr": shown, "cost in runs": grouped["cost"].mean()}
    return pd.DataFrame(columns, picks.index)


def sides(table: pd.DataFrame) -> pd.DataFrame:
    """By the ends of every axis: how far the best cell there lies below the level, and the number of cells."""
    found = []
    for axis in AXES:
        for end, pick in (("smallest", "min"), ("largest", "max")):
            edge = table[table[axis] == table.groupby("lattice")[axis].transform(pick)].groupby("lattice")["below"]
            shown = {name: f"{below.min():.1f} ({len(below)})" for name, below in edge}
            found.append({"axis": axis, "end": end, **shown})
    return pd.DataFrame(found)


def noise(table: pd.DataFrame) -> pd.DataFrame:
    """The standard deviation between seeds, pooled over cells with two or more, by points below the level."""
    some = table[table["size"] > 1].assign(freedom=table["size"] - 1)
    some["band"] = pd.cut(some["below"].clip(lower=0), BANDS, right=False)
    some["squares"] = some["var"] * some["freedom"]
    bands = some.groupby(["band", "lattice"], observed=True)
    pooled = (bands["squares"].sum() / bands["freedom"].sum()).pow(0.5)
    text = pooled.map("{:.2f}".format) + bands.size().map(" ({})".format)
    wide = text.unstack("lattice").reset_index()
    return wide.assign(**{"points below the level": [f"{band.left:g} to {band.right:g}" for band in wide["band"]]})


def figures(folder: Path) -> dict[str, bytes]:
    """The mean accuracy of every cell over both products, a column a lattice, coloured by weight decay."""
    table, names = cells(folder)[1], list(lattices.read())
    figure, panels = drawing.canvas(2, len(names), 3.0, 2.6)
    for number, (name, product) in enumerate((name, product) for product in (PRODUCT, RATIO) for name in names):
        some, axes = table[table["lattice"] == name], panels[number]
        axes.scatter(some[product], some["mean"], s=7, c=some["wd"], cmap="viridis", alpha=0.8, lw=0)
        axes.set(xlabel=f"log₂ {product}", title=name if product == PRODUCT else "")
        axes.set_ylabel("accuracy (%)" if name == names[0] else "")
    return {"cells.png": drawing.png(figure, 80)}
