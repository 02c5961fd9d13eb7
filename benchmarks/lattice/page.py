"""Tables and figures of this folder's page, from the rows of the lattices and of their probes.

Images are judged by accuracy in percent, a text by its loss in nats; `result` is higher-is-better in both.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from scipy.stats import gmean

from benchmarks import drawing
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import Lattice
from benchmarks.lattice.running import worst_of

BANDS = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, float("inf")]  # points below the level
NATS = [0.0, 0.03, 0.1, 0.3, 1.0, float("inf")]  # nats above the level
BEST = 3  # cells shown per lattice
AXES = ["lr", "1 − momentum", "wd"]  # with AdamW 1 − beta1; all as powers of two
RATIO, PRODUCT = "lr/(1 − momentum)", "lr·wd/(1 − momentum)"  # with AdamW lr and lr·wd
TEXT_AXES = ["lr", "batch size", "wd"]
TEXT_RATIO, TEXT_PRODUCT = "lr/√batch", "lr·wd"


def of(metric: str) -> dict[str, Lattice]:
    """The lattices that are judged by a metric."""
    return {name: lattice for name, lattice in lattices.read().items() if lattice.metric == metric}


def runs_of(folder: Path, lattice: Lattice) -> pd.DataFrame:
    """Every run of a lattice, with `result`: higher is better; a diverged one at chance."""
    rows = pd.read_csv(folder / f"{lattice.name}.csv")
    text = lattice.metric == "loss"
    rows = rows.rename(columns=dict(zip(rows.columns[:3], TEXT_AXES if text else AXES, strict=True)))
    rows["result"] = -rows["loss"].clip(upper=lattice.chance) if text else rows["accuracy"]
    rows["result"] = rows["result"].mask(rows["diverged"] == 1, worst_of(lattice))
    if text:
        return rows.assign(**{TEXT_RATIO: rows["lr"] - rows["batch size"] / 2, TEXT_PRODUCT: rows["lr"] + rows["wd"]})
    rows[RATIO] = rows["lr"] - (rows["1 − momentum"] if lattice.optimizer == "sgd" else 0)
    return rows.assign(**{PRODUCT: rows[RATIO] + rows["wd"]})


def cells(folder: Path, metric: str = "accuracy") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every run of every lattice of a metric; and a row a cell, with how far it lies `below` the level."""
    found = {name: runs_of(folder, lattice) for name, lattice in of(metric).items()}
    runs = pd.concat(found, names=["lattice"]).reset_index("lattice").sort_values("seed", kind="stable")
    own = [*AXES, RATIO, PRODUCT] if metric == "accuracy" else [*TEXT_AXES, TEXT_RATIO, TEXT_PRODUCT]
    grouped = runs.groupby(["lattice", *own])["result"]
    table = grouped.agg(["mean", "size", "var", list]).reset_index()
    level = table.groupby("lattice")["mean"].transform(lambda means: means.nlargest(10).mean())
    return runs, table.assign(level=level, below=level - table["mean"])


def summary(runs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row a lattice: its runs, its cells, its level and its ridge."""
    every, by = lattices.read(), table.groupby("lattice")
    found = runs.groupby("lattice").agg(runs=("seed", "size"), diverged=("diverged", "sum")).assign(cells=by.size())
    for count in (2, 3):
        found[f"{count} seeds or more"] = by["size"].agg(lambda seeds, count=count: (seeds >= count).sum())
    found["level"] = by["level"].first()
    found["cells on the ridge"] = [int((some["below"] <= every[name].near).sum()) for name, some in by]
    found["s a run"] = runs.groupby("lattice")["seconds"].median().map("{:.1f}".format)
    return found


def best(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The best cells of each lattice among those with two seeds or more."""
    top = table[table["size"] > 1].sort_values("mean", ascending=False, kind="stable").groupby("lattice").head(BEST)
    return top.sort_values("lattice", key=lambda some: some.map(names.index), kind="stable")


def values(folder: Path) -> dict[str, str]:
    """What the page quotes."""
    runs, table = cells(folder)
    every = list(of("accuracy"))
    top = best(table, every)
    top["each"] = [", ".join(f"{value:.2f}" for value in some) for some in top["list"]]
    tables = {
        "lattices": summary(runs, table).rename(columns={"level": "level (%)"}).loc[every].reset_index(),
        "probes": probes(folder).loc[every].reset_index(),
        "best": top[["lattice", "mean", "each", *AXES, RATIO, PRODUCT]],
        "sides": sides(table, AXES, 1)[["axis", "end", *every]],
        "noise": noise(table, BANDS, "points below the level", 2, every),
    }
    return {name: drawing.table(some) for name, some in tables.items()} | (texts(folder) if of("loss") else {})


def texts(folder: Path) -> dict[str, str]:
    """What the page quotes of the lattices of text, in nats: smaller is better there."""
    runs, table = cells(folder, "loss")
    every, names = of("loss"), list(of("loss"))
    found = summary(runs, table).loc[names]
    found["level"] = [-level for level in found["level"]]
    near = table[(table["size"] > 1) & (table["below"] <= table["lattice"].map(lambda name: every[name].near))]
    spread = near.assign(squares=near["var"] * (near["size"] - 1), freedom=near["size"] - 1).groupby("lattice")
    found["noise"] = (spread["squares"].sum() / spread["freedom"].sum()).pow(0.5)
    found["range"] = [every[name].chance - found["level"][name] for name in names]
    found["noise/range"] = (found["noise"] / found["range"]).map("{:.1%}".format, na_action="ignore")
    top = best(table, names)
    top["mean"] = -top["mean"]
    top["each"] = [", ".join(f"{-value:.3f}" for value in some) for some in top["list"]]
    tables = {
        "text": found.rename(columns={"level": "level (nats)"}).reset_index(),
        "text_best": top[["lattice", "mean", "each", *TEXT_AXES, TEXT_RATIO, TEXT_PRODUCT]],
        "text_sides": sides(table, TEXT_AXES, 2)[["axis", "end", *names]],
        "text_noise": noise(table, NATS, "nats above the level", 3, names),
    }
    return {name: drawing.table(some, 3) for name, some in tables.items()}


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


def sides(table: pd.DataFrame, axes: list[str], digits: int) -> pd.DataFrame:
    """By the ends of every axis: how far the best cell there lies below the level, and the number of cells."""
    found = []
    for axis in axes:
        for end, pick in (("smallest", "min"), ("largest", "max")):
            edge = table[table[axis] == table.groupby("lattice")[axis].transform(pick)].groupby("lattice")["below"]
            shown = {name: f"{below.min():.{digits}f} ({len(below)})" for name, below in edge}
            found.append({"axis": axis, "end": end, **shown})
    return pd.DataFrame(found)


def noise(table: pd.DataFrame, edges: list[float], title: str, digits: int, names: list[str]) -> pd.DataFrame:
    """The standard deviation between seeds, pooled over cells with two or more, by how far they lie from the level."""
    some = table[table["size"] > 1].assign(freedom=table["size"] - 1)
    some["band"] = pd.cut(some["below"].clip(lower=0), edges, right=False)
    some["squares"] = some["var"] * some["freedom"]
    bands = some.groupby(["band", "lattice"], observed=True)
    pooled = (bands["squares"].sum() / bands["freedom"].sum()).pow(0.5)
    text = pooled.map(f"{{:.{digits}f}}".format) + bands.size().map(" ({})".format)
    wide = text.unstack("lattice").reset_index()
    wide[title] = [f"{band.left:g} to {band.right:g}" for band in wide["band"]]
    return wide.reindex(columns=[title, *names])


def figures(folder: Path) -> dict[str, bytes]:
    """The mean accuracy of every cell over both products, a column a lattice, coloured by weight decay; and of texts."""
    table, names = cells(folder)[1], list(of("accuracy"))
    figure, panels = drawing.canvas(2, len(names), 3.0, 2.6)
    for number, (name, product) in enumerate((name, product) for product in (PRODUCT, RATIO) for name in names):
        some, axes = table[table["lattice"] == name], panels[number]
        axes.scatter(some[product], some["mean"], s=7, c=some["wd"], cmap="viridis", alpha=0.8, lw=0)
        axes.set(xlabel=f"log₂ {product}", title=name if product == PRODUCT else "")
        axes.set_ylabel("accuracy (%)" if name == names[0] else "")
    return {"cells.png": drawing.png(figure, 80)} | (text_figure(folder) if of("loss") else {})


def text_figure(folder: Path) -> dict[str, bytes]:
    """The mean loss of every cell over lr and over lr/√batch, coloured by batch size, a row a lattice."""
    table, names = cells(folder, "loss")[1], list(of("loss"))
    figure, panels = drawing.canvas(len(names), 2, 4.0, 3.0)
    for number, (name, axis) in enumerate((name, axis) for name in names for axis in ("lr", TEXT_RATIO)):
        some, axes = table[table["lattice"] == name], panels[number]
        axes.scatter(some[axis], -some["mean"], s=9, c=some["batch size"], cmap="viridis", alpha=0.8, lw=0)
        axes.set(xlabel=f"log₂ {axis}", title=name, ylabel="loss (nats)" if axis == "lr" else "")
    return {"text.png": drawing.png(figure, 80)}
