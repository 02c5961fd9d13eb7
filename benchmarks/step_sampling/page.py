"""Tables, numbers and a figure from the rows. The best rate of a grid has the highest mean accuracy over common seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import gmean

from benchmarks import drawing

MODELS = ("resnet_small", "resnet18", "transformer")
OWN = ("log_midpoint", "half_loss", "steepest", "min_lr", "max_lr")
RIVALS = {
    "argmin": "Wittmann: argmin of the reset curve",
    "torch_lr_finder": "torch-lr-finder: suggestion",
    "fastai_valley": "fastai: valley",
    "fastai_steep": "fastai: steep",
    "fastai_minimum_10": "fastai: minimum/10",
    "fastai_slide": "fastai: slide",
    "lightning": "Lightning: steepest by step",
    "lightning_by_rate": "Lightning: steepest by rate",
}
NAMES = {**{rule: rule for rule in OWN}, **RIVALS}
short, STEPS = "{:.3g}".format, "steps (of a run)"


def values(folder: Path) -> dict[str, str]:
    """Everything that the pages quote."""
    runs, picks = pd.read_csv(folder / "runs.csv"), read_picks(folder)
    table = pd.concat({model: pick_table(runs, picks, model).drop(columns=STEPS) for model in MODELS}, axis=1)
    table = table.set_axis([", ".join(names) for names in table], axis=1).reset_index()
    tables = {"picks": drawing.table(table), "synthetic": synthetic(folder), "costs": costs(folder)}
    return tables | peaks(runs, picks) | longer(runs, picks) | summary(runs, picks)


def read_picks(folder: Path) -> pd.DataFrame:
    """The picks of all rules by model and rule: seed, rate, steps; in the order of seeds."""
    own = pd.read_csv(folder / "picks.csv").rename(columns={"steps_equivalent": "steps"})
    return pd.concat([own, pd.read_csv(folder / "rivals.csv")]).sort_values("seed").set_index(["model", "rule"])


def accuracies(runs: pd.DataFrame, model: str, schedule: str = "constant") -> pd.DataFrame:
    """Accuracy of the complete runs in percent, rate × seed."""
    own = runs[(runs.model == model) & (runs.schedule == schedule)]
    return own.pivot(index="rate", columns="seed", values="accuracy")


def grid(runs: pd.DataFrame, model: str, schedule: str = "constant") -> tuple[pd.DataFrame, float]:
    """The same for the grid's rates, powers of two, and the seeds that all of them have; the best rate."""
    known = accuracies(runs, model, schedule)
    known = known[np.log2(known.index) % 1 == 0].dropna(axis=1)
    return known, float(known.mean(axis=1).idxmax())


def lost(runs: pd.DataFrame, model: str, rate: float) -> pd.Series:
    """Points below the best constant rate at a rate that was trained, seed by seed."""
    known, best = grid(runs, model)
    return (known.loc[best] - accuracies(runs, model).loc[rate]).dropna()


def read_off(known: pd.DataFrame, rate: float) -> str:
    """Points below the best of a grid, linear in log rate between its means."""
    means = known.mean(axis=1)
    point = np.interp(np.log(rate), np.log(means.index), means, left=np.nan, right=np.nan)
    return "outside" if np.isnan(point) else f"{means.max() - point:.1f}"


def pick_table(runs: pd.DataFrame, picks: pd.DataFrame, model: str) -> pd.DataFrame:
    """A row a rule; complete runs were made at the picks of seed 0."""
    (known, best), whole, lines = grid(runs, model), runs[runs.model == model].steps.max(), []
    for rule, name in NAMES.items():
        rates, steps = picks.loc[(model, rule), "rate"], picks.loc[(model, rule), "steps"].mean()
        line = {"rule": name, "decades": ", ".join(f"{np.log10(rate / best):+.2f}" for rate in rates)}
        line["points below"] = drawing.spread(lost(runs, model, rates.iloc[0]))
        line["read off"] = ", ".join(read_off(known, rate) for rate in rates)
        lines.append({**line, STEPS: f"{steps:.0f} ({steps / whole:.0%})"})
    return pd.DataFrame(lines).set_index("rule")


def peaks(runs: pd.DataFrame, picks: pd.DataFrame) -> dict[str, str]:
    """How far the best peak of the triangle is from the best constant rate and from log_midpoint."""
    lines, ratios = [], {}
    for model in MODELS:
        (constant, rate), (triangle, peak) = (grid(runs, model, schedule) for schedule in ("constant", "triangle"))
        pick = gmean(picks.loc[(model, "log_midpoint"), "rate"])
        ratios[model] = {"peak / best constant": peak / rate, "peak / log_midpoint": peak / pick}
        line = {"best constant rate": rate, "accuracy": drawing.spread(constant.loc[rate]), "best peak": peak}
        line |= {"its accuracy": drawing.spread(triangle.loc[peak]), "log_midpoint": pick, **ratios[model]}
        lines.append({"model": model} | {head: x if isinstance(x, str) else short(x) for head, x in line.items()})
    own = pd.DataFrame(ratios).T
    lines.append({"model": "geometric mean", **own.apply(gmean).map(short)})
    ends = own["peak / log_midpoint"].agg(["min", "max"])
    return {"peaks": drawing.table(pd.DataFrame(lines)), **{f"ratio-{end}": f"{x:.0f}" for end, x in ends.items()}}


def longer(runs: pd.DataFrame, picks: pd.DataFrame) -> dict[str, str]:
    """The transformer in runs of four times the length, seed 0."""
    known, pick = accuracies(runs, "transformer_long")[0], picks.loc[("transformer", "log_midpoint"), "rate"].iloc[0]
    found = {"best": known.max(), "pick": known[pick], "lost": known.max() - known[pick]}
    return {"longer-rate": short(known.idxmax()), **{f"longer-{name}": f"{x:.2f}" for name, x in found.items()}}


def summary(runs: pd.DataFrame, picks: pd.DataFrame) -> dict[str, str]:
    """log_midpoint beside the best and the worst rival; each rival's worst loss over the models."""
    first = picks[picks.seed == 0].rate
    points = pd.DataFrame({m: {r: lost(runs, m, first[m, r]).mean() for r in RIVALS} for m in MODELS})
    lines = []
    for model, rivals in points.items():
        own = pick_table(runs, picks, model).loc["log_midpoint", ["points below", STEPS]]
        rates = {"best constant rate": grid(runs, model)[1], "log_midpoint": first[model, "log_midpoint"]}
        line = {"model": model, **{head: short(rate) for head, rate in rates.items()}, **own}
        line["best rival's points"] = f"{rivals.min():.1f} ({RIVALS[rivals.idxmin()]})"
        lines.append({**line, "worst rival's": f"{rivals.max():.1f} ({RIVALS[rivals.idxmax()]})"})
    worst = points.max(axis=1).sort_values()
    found = {"argmin": worst["argmin"], "valley": worst["fastai_valley"], "others": worst.iloc[2]}
    return {"summary": drawing.table(pd.DataFrame(lines)), **{f"worst-{name}": f"{x:.2f}" for name, x in found.items()}}


def synthetic(folder: Path) -> str:
    """Share of the seeds within a factor of 2, and the median distance in decades; no answer counts as outside."""
    frame = pd.read_csv(folder / "synthetic.csv")
    off = frame.midpoint_off.abs().fillna(np.inf).groupby([frame["shape"], frame.noise], sort=False)
    cells = off.agg(lambda found: f"{(found <= np.log10(2)).mean():.1%} ({found.median():.2f})").unstack()
    return drawing.table(cells.add_prefix("noise ").rename_axis("curve").reset_index())


def costs(folder: Path) -> str:
    """What the finder costs, least to most over seeds."""
    groups = pd.read_csv(folder / "costs.csv").groupby(["model", "budget"], sort=False)
    ends = (end[["probes", "steps", "cost", "run_share"]] for end in (groups.min(), groups.max()))
    low, high = (end.assign(run_share=end.run_share.map("{:.1%}".format)).astype(str) for end in ends)
    return drawing.table(low.where(low == high, low + " to " + high).reset_index())


def figures(folder: Path) -> dict[str, bytes]:
    """Mean accuracy of complete runs over the rate, and the picks of seed 0."""
    runs, first = pd.read_csv(folder / "runs.csv"), read_picks(folder).query("seed == 0").rate
    figure, panels = drawing.canvas(columns=3, width=4.0, height=3.2)
    for model, axes in zip(MODELS, panels, strict=True):
        for schedule, label in (("constant", "constant rate"), ("triangle", "peak of the triangle")):
            means = grid(runs, model, schedule)[0].mean(axis=1)
            axes.semilogx(means.index, means, ".-", label=label)
        left, right = axes.get_xlim()
        axes.axvspan(first[model, "min_lr"], first[model, "max_lr"], color="C2", alpha=0.15, label="window")
        axes.axvline(first[model, "log_midpoint"], color="C2", lw=2, label="log_midpoint")
        for number, rule in enumerate(RIVALS):
            axes.axvline(first[model, rule], color="grey", lw=0.7, label="" if number else "rivals")
        axes.set(title=model, xlabel="lr", ylabel="accuracy in %", xlim=(left, right))
    panels[0].legend(fontsize=7)
    return {"accuracy.png": drawing.png(figure)}
