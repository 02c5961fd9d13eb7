"""Tables and figures from the rows of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.cdat import claims, plan
from benchmarks.cdat.claims import CASES, NAMES, Claim
from benchmarks.drawing import canvas, png, spread, table
from flatdirs.tuning.cdat_start import CAP, SIGMA, STEP_PRICE, from_rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
COLOURS = dict(zip(NAMES, ("#666666", "#E69F00", "#009E73", "#0072B2", "#D55E00"), strict=True))


def values(folder: Path = HERE) -> dict[str, str]:
    """Everything that the pages quote."""
    runs = claims.read(folder)
    full, mini, varied = (runs[runs["part"] == part] for part in ("full_batch", "mini_batch", "sensitivity"))
    asked = [*claims.full_batch(full), *claims.mini_batch(mini), *claims.variations(varied)]
    cells, sigmas = claims.cells_of(mini), claims.best_sigmas(mini)
    whole = cells.index.get_level_values("batch") >= plan.PROBLEMS["digits_mlp"].images
    return {
        "verdicts": table(pd.DataFrame(map(verdict, asked))),
        **{claim.key: str(sum(claim.held.dropna())) for claim in asked},
        "runs": str(len(pd.read_csv(folder / "runs.csv", usecols=["seed"]))),
        "end_losses": table(end_losses(full)),
        **sigmas.agg(lambda row: ", ".join(map("{:g}".format, row)), axis=1).add_prefix("best_sigmas_"),
        "best_full": f"{cells[whole].min():.3f}",
        "best_mini": f"{cells[~whole].min():.3f}",
        "gains": table(gains(varied)),
        **starts(pd.read_csv(folder / "start.csv").dropna(subset=["cdat_value", "step_sampling"])),
        **start_runs(pd.read_csv(folder / "start_runs.csv").dropna(subset="accuracy")),
        "sigma_start": table(sigma_start(pd.read_csv(folder / "sigma_start.csv"))),
        "step_cost": table(step_cost(json.loads((folder / "step_cost.json").read_text(encoding="utf-8")))),
    }


def verdict(claim: Claim) -> dict[str, str]:
    """A row of the table: in how many of the decided cases a claim holds; median and range over cases of its numbers."""
    decided, told = claim.held.dropna().astype(int), []
    loss, undecided = decided.index.map(lambda case: CASES.get(case, "")), len(claim.held) - len(decided)
    for name, cases in claim.numbers.items():
        middle, low, high = (claim.form.format(number) for number in cases.agg(["median", "min", "max"]))
        told.append(f"{name} {middle}" + (f" [{low}, {high}]" if cases.count() > 1 else ""))
    parts = {"holds": decided, "squared": decided[loss == "squared"], "cross entropy": decided[loss == "cross_entropy"]}
    counted = {name: f"{part.sum()} of {len(part)}" if len(part) else "–" for name, part in parts.items()}
    numbers = {"undecided": str(undecided or "–"), "number: median [lowest, highest case]": "; ".join(told)}
    return {"claim": claim.text, **counted, **numbers}


def end_losses(full: pd.DataFrame) -> pd.DataFrame:
    """Geometric means over seeds by case and rival; of σ = 2 also the ratio to the edge and the share of steps at the cap."""

    def cell(runs: pd.DataFrame) -> str:
        done = runs[np.isfinite(runs["end"])]
        counts = {"diverged": len(runs) - len(done), "not trained": (done["end"] >= done["initial_loss"]).sum()}
        notes = [f"{count} {what}" for what, count in counts.items() if count]
        return f"{np.exp(np.log(done['end']).mean()):.3g}" + (f" ({', '.join(notes)})" if notes else "")

    rows = full.groupby(["case", "rival"]).apply(cell, include_groups=False).unstack("rival").rename(columns=NAMES)
    two = full[full["rival"] == "sigma2"]
    capped = claims.curves_of(two)["lr"].gt(0.999 * two["base"].map(plan.CAP)).groupby(two["case"]).mean()
    rows["σ = 2: ratio"] = claims.edge_ratios(claims.looks_of(full)).map("{:.3g}".format)
    rows["σ = 2: steps at the cap"] = capped.map("{:.0%}".format)
    order = [*NAMES.values(), "σ = 2: ratio", "σ = 2: steps at the cap"]
    return rows.reindex(index=[case for case in CASES if case in rows.index], columns=order).reset_index()


def gains(varied: pd.DataFrame) -> pd.DataFrame:
    """Octaves of end loss below the tuned constant lr's, by variation, base and σ."""
    found = claims.gains_of(varied)
    shown, two = found.map("{:+.2f}".format), found.index.get_level_values("rival") == "sigma2"
    cells = shown["mean"].where(~two, shown["mean"] + " [" + shown["low"] + ", " + shown["high"] + "]")
    wide = cells.where(found["mean"].notna(), "–").unstack(["base", "rival"])
    wide = wide.sort_index(axis=1, level=["base", "rival"], ascending=[False, True])
    names = [f"{base}, {rival.replace('sigma', 'σ = ')}" for base, rival in wide.columns]
    return wide.set_axis(names, axis=1).reset_index()


def starts(rows: pd.DataFrame) -> dict[str, str]:
    """The start from a short run of CDAT beside step sampling's, by task and σ, on the lattices' fitted surfaces."""
    found = [from_rates([float(rate) for rate in cell.split(";")]) for cell in rows["rates"]]
    rows = rows.assign(
        peak=[one.learning_rate for one in found if one],
        warm_up=[one.warmup_steps for one in found if one] / rows["run_steps"],
        gap=rows["cdat_value"] - rows["step_sampling_value"],
        cost=STEP_PRICE * rows["edge_steps"] / rows["step_sampling_cost"],
    )
    columns = {
        "best": ("best", "mean"),
        "step sampling": ("step_sampling_value", "mean"),
        "CDAT": ("cdat_value", "mean"),
        "difference": ("gap", gap),
        "verdict": ("gap", judged),
        "step sampling's peak lr": ("step_sampling", ends),
        "CDAT's": ("peak", ends),
        "at the cap": ("peak", lambda peaks: f"{(peaks >= CAP).sum()} of {len(peaks)}"),
        "warm-up": ("warm_up", lambda parts: f"{parts.median():.0%}"),
        "relative cost": ("cost", "mean"),
    }
    shown = rows.rename(columns={"lattice": "task", "sigma": "σ"}).groupby(["task", "σ"]).agg(**columns).reset_index()
    worst = -rows.groupby(["sigma", "lattice"])["gap"].mean().groupby("sigma").min()
    ours = rows[rows["sigma"] == SIGMA].groupby("lattice")["gap"].agg(gap)
    return {"starts": table(shown), **worst.map("{:.2f}".format).add_prefix("worst_"), **ours.add_prefix("start_")}


def ends(sample: pd.Series) -> str:
    """The lowest and the highest."""
    return f"{sample.min():.3g} to {sample.max():.3g}"


def gap(sample: pd.Series) -> str:
    """Mean difference ± standard error, in points."""
    return f"{sample.mean():+.2f} ± {sample.sem():.2f}"


def judged(sample: pd.Series) -> str:
    """The sign of a mean difference, if it is more than two standard errors from 0."""
    errors = sample.mean() / sample.sem()
    return "not distinguishable" if abs(errors) <= 2 else "better" if errors > 0 else "worse"


def start_runs(rows: pd.DataFrame) -> dict[str, str]:
    """Whole runs of digits from these starts, and differences of start=cdat's paired by seed."""
    sigma = rows["sigma"].map("σ = {:g}".format).where(rows["sigma"].notna(), "no σ")
    found = rows.assign(sigma=sigma).pivot_table("accuracy", "sigma", "way", aggfunc=spread).reset_index(names="")
    wide = rows[rows["sigma"].isin([SIGMA, np.nan])].pivot(index="seed", columns="way", values="accuracy")
    differences = wide[["step_sampling", "cdat"]].rsub(wide["cdat with its warm-up"], axis=0).agg(gap)
    return {"start_runs": table(found), **differences.add_prefix("warm_up_less_")}


def sigma_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of digits by base and σ, and how far the worse-off base is below its best σ."""
    means = rows[rows["task"] == "digits"].pivot_table(index="base", columns="sigma", values="accuracy")
    means.loc["larger shortfall"] = means.rsub(means.max(axis=1), axis=0).max()
    return means.rename(columns="σ = {:g}".format).reset_index()


def step_cost(found: dict[str, Any]) -> pd.DataFrame:
    """The time of a step over a plain one's: median (quartiles) by task, base and precision."""
    cases = pd.DataFrame(found["cases"])
    ratios = pd.DataFrame(cases.pop("ratios").tolist()).map(lambda ratio: "{1:.2f} ({0:.2f} to {2:.2f})".format(*ratio))
    return cases.join(ratios).rename(columns={"plain_ms": "plain, ms"})


def figures(folder: Path = HERE) -> dict[str, bytes]:
    """End losses beside the tuned constant lr's, and the ratio to the edge along the runs."""
    full = claims.read(folder).query("part == 'full_batch'")
    return {"end_loss.png": png(end_loss(full), 100), "edge.png": png(edge(claims.looks_of(full)), 100)}


def end_loss(full: pd.DataFrame) -> Figure:
    """A line a case: the end loss of every rival over that of the tuned constant lr, single seeds as a bar."""
    figure, (axes,) = canvas(width=7.5, height=5)
    losses, cases = full.set_index(["rival", "case", "seed"])["end"], list(CASES)
    for place, rival in enumerate(list(NAMES)[1:]):
        found = claims.compare(losses[rival], losses["constant"]).reindex(cases)
        y = np.arange(len(cases)) + 0.18 * (place - 1.5)
        axes.hlines(y, found["low"], found["high"], color=COLOURS[rival])
        axes.plot(found["mean"], y, "o", color=COLOURS[rival], markersize=4, label=NAMES[rival])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="end loss over that of the tuned constant lr (left of 1: better)")
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    return figure


def edge(looks: pd.DataFrame) -> Figure:
    """A panel a case: sharpness over the edge along the runs of the lowest seed."""
    figure, panels = canvas(len(plan.PROBLEMS), len(CASES) // len(plan.PROBLEMS), width=3, height=1.5)
    for axes, case in zip(panels, CASES, strict=True):
        for rival in ("constant", "sigma1", "sigma2"):
            run = looks[(looks["case"] == case) & (looks["rival"] == rival) & (looks["seed"] == looks["seed"].min())]
            axes.plot(run["step"], run["ratio"], color=COLOURS[rival], linewidth=1, label=NAMES[rival])
        axes.axhline(1, color="black", linewidth=0.6)
        axes.set(ylim=(0, 2), title=case, ylabel="ratio to the edge" if axes is panels[0] else "")
    panels[0].legend(fontsize=6)
    return figure
