"""The claims as frames from the rows: cases with `held`, and the numbers by which they are decided. Rules: README.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.cdat.plan import CRITICAL, EMAS, PROBLEMS, VARIED

NAMES = {"constant": "constant", "schedule": "warm-up + decay", "linesearch": "line search"}
NAMES |= {"sigma1": "σ = 1", "sigma2": "σ = 2"}
CASES = {f"{problem} {base}": PROBLEMS[problem].loss for problem in PROBLEMS for base in CRITICAL}
LOOK = ["step", "last", "loss", "sharpness", "raw", "alignment", "sigma1", "sigma2", "constant", "linesearch", "lr"]
EDGE, MATCHES, GROWS, EARLY, ERASED = (0.8, 1.2), 1.1, 1.5, 0.5, 0.5
END, RATIO, CHANGE = "end loss over the other's", "ratio to the edge", "change of the gain, octaves"


class Claim(NamedTuple):
    """A claim: by case whether it `held` (None: undecided) and the numbers that decide, shown in the same `form`."""

    key: str
    text: str
    held: pd.Series
    numbers: dict[str, pd.Series]
    form: str = "{:.3g}"


def read(folder: Path) -> pd.DataFrame:
    """The compared runs; `end` is infinite for a run that diverged."""
    runs = pd.read_csv(folder / "runs.csv").query("role == 'compare'").reset_index(drop=True)
    rival = runs["method"].where(runs["method"] != "cdat", "sigma" + runs["value"].map("{:g}".format))
    end = runs["end_loss"].where(runs["state"] != "diverged", np.inf)
    return runs.assign(case=runs["problem"] + " " + runs["base"], rival=rival, end=end)


def looks_of(full: pd.DataFrame) -> pd.DataFrame:
    """One row for each look at the curvature; `ratio` of sharpness to the edge at the mean lr of the last steps."""
    parts = full["looks"].dropna().str.split(";").explode().str.split(":", expand=True).astype(float)
    looks = full[["case", "base", "rival", "seed"]].join(parts.set_axis(LOOK, axis=1), how="inner")
    looks["ratio"] = looks["sharpness"] * looks["lr"] / looks["base"].map(CRITICAL)
    return looks[np.isfinite(looks["ratio"])]


def curves_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Step, loss and lr along the runs."""
    parts = runs["curve"].str.split(";").explode().str.split(":", expand=True)
    return parts.astype(float).set_axis(["step", "loss", "lr"], axis=1)


def compare(first: pd.Series, second: pd.Series) -> pd.DataFrame:
    """`first` over `second` by case; both are indexed by case and, last, seed.

    `mean`: geometric, over the seeds in which both finished, NaN where these are not most of the seeds; `ratio` is then infinite
    if the first diverged more often, 0 if less. `low`, `high`: single seeds. `lost`: diverged runs.
    """
    both = pd.concat({"first": first, "second": second}, axis=1, join="inner")
    logs = np.log((both["first"] / both["second"])[np.isfinite(both).all(axis=1)]).reindex(both.index)
    levels = list(range(both.index.nlevels - 1))
    found = logs.groupby(level=levels, sort=False).agg(["mean", "min", "max", "count", "size"])
    lost = np.isinf(both).groupby(level=levels, sort=False).sum()
    mean = np.exp(found["mean"]).where(2 * found["count"] > found["size"])
    ratio = mean.fillna(np.sign(lost["first"] - lost["second"]).map({1: np.inf, -1: 0.0}))
    ends = {"low": np.exp(found["min"]), "high": np.exp(found["max"]), "lost": lost.sum(axis=1)}
    return pd.DataFrame({"mean": mean, "ratio": ratio, **ends})


def full_batch(full: pd.DataFrame) -> Iterator[Claim]:
    """Those asked of every problem and base."""
    looks, ends = looks_of(full), full.set_index(["rival", "case", "seed"])["end"]
    for rival in ("sigma1", "linesearch"):
        name, own = NAMES[rival], looks[looks["rival"] == rival]
        for other, what in (("constant", "the tuned constant lr, along its run"), ("sigma2", "σ = 2, along every run")):
            tried = looks.dropna(subset=[rival, other])
            share = (tried[rival] > tried[other]).groupby(tried["case"]).mean()
            text = f"One step of {name} lowers the loss more than one of {what}"
            yield Claim(f"{rival}_step_{other}", text, share > 0.5, {"share of looks": share}, "{:.0%}")
        found = compare(ends[rival], ends["constant"])
        text = f"A run of {name} loses to one of the tuned constant lr"
        yield Claim(f"{rival}_loses", text, found["ratio"] > 1, {END: found["mean"]})
        found = own.groupby(["case", "seed"])[["lr", "sharpness"]].apply(thirds).groupby("case").median()
        held, numbers = (found["lr"] < 1) & (found["sharpness"] > 1), {"last third over first: lr": found["lr"]}
        numbers["sharpness"] = found["sharpness"]
        yield Claim(f"{rival}_falls", f"With {name}, lr falls and sharpness rises", held, numbers)
        ratio = own.groupby("case")["ratio"].median()
        yield Claim(f"{rival}_below", f"With {name}, the ratio is below the edge", ratio < 1, {RATIO: ratio})
    ratio, runs = edge_ratios(looks), full[full["rival"] == "sigma2"]
    yield Claim("edge", "σ = 2 holds the edge", ratio.between(*EDGE), {RATIO: ratio})
    found = curves_of(runs).groupby(level=0).apply(growth).join(runs)
    grown, peak = (found.groupby("case")[name].median() for name in ("growth", "peak"))
    trains = (found["end"] < found["initial_loss"]).groupby(found["case"]).all()
    held, numbers = (grown >= GROWS) & (peak < EARLY) & trains, {"growth": grown, "peak, part of the run": peak}
    yield Claim("warm_up", "With σ = 2, lr grows first, like a warm-up", held, numbers)
    for rival, what in (("constant", "constant lr"), ("schedule", "warm-up + decay")):
        found = compare(ends["sigma2"], ends[rival])
        text = f"σ = 2 beats or matches a tuned {what}"
        yield Claim(f"matches_{rival}", text, found["ratio"] <= MATCHES, {END: found["mean"]})


def thirds(looks: pd.DataFrame) -> pd.Series:
    """The median of the last third of a run's looks over that of the first."""
    part = max(1, len(looks) // 3)
    return looks[-part:].median() / looks[:part].median()


def edge_ratios(looks: pd.DataFrame) -> pd.Series:
    """The median ratio of σ = 2 in the second half of its runs, by case."""
    own = looks[looks["rival"] == "sigma2"]
    runs = own.groupby(["case", "seed"])["step"]
    return own[runs.cumcount() >= runs.transform("size") // 2].groupby("case")["ratio"].median()


def growth(curve: pd.DataFrame) -> pd.Series:
    """How much lr grows, from the first above 0 to the highest median of five samples, and at which part of the run."""
    lr, smooth = curve["lr"], curve["lr"].rolling(5, min_periods=1).median()
    peak = curve["step"].iloc[smooth.argmax()] / curve["step"].iloc[-1]
    return pd.Series({"growth": smooth.max() / lr[lr > 0].iloc[0], "peak": peak})


def cells_of(mini: pd.DataFrame) -> pd.Series:
    """End over initial loss by ema, σ and batch, without the cells where a run diverged."""
    cdat = mini[mini["method"] == "cdat"].set_index(["ema", "value", "batch", "seed"])
    found = compare(cdat["end"], cdat["initial_loss"])
    return found["mean"][found["lost"] == 0]


def best_sigmas(mini: pd.DataFrame) -> pd.DataFrame:
    """The σ of the lowest loss, by ema and batch."""
    return cells_of(mini).groupby(["ema", "batch"]).idxmin().str[1].unstack("batch")


def mini_batch(mini: pd.DataFrame) -> Iterator[Claim]:
    """Those about mini-batches, of which the full batch is none."""
    best = np.log2(best_sigmas(mini).loc[:, lambda frame: frame.columns < PROBLEMS["digits_mlp"].images])
    slope = best.apply(lambda row: np.polyfit(np.log2(best.columns), row, 1)[0].round(9), axis=1)
    numbers = {"slope of log₂ σ on log₂ batch": slope}
    yield Claim("falls", "The best σ is smaller for smaller mini-batches", slope > 0, numbers)
    without, averaged = slope[EMAS[0]], slope[[EMAS[1]]]
    held = averaged.abs() < without if without > 0 else averaged.map({})
    yield Claim("flatten", "Averages (ema 0.9) flatten that", held, {"the same slope": averaged})
    constant = mini[mini["method"] == "constant"]
    sharp = constant.pivot_table(index="value", columns="batch", values="end_sharpness", aggfunc="median")
    ratio, text = sharp.iloc[:, 0] / sharp.iloc[:, -1], "Sharpness is lower for small batches, at the same constant lr"
    yield Claim("sharper", text, ratio < 1, {"sharpness, smallest batch over largest": ratio})


def gains_of(part: pd.DataFrame) -> pd.DataFrame:
    """Octaves of end loss below the tuned constant lr's (mean, low, high), by rival, base and variation."""
    varied = part[list(VARIED)].mask(part[list(VARIED)] == 0)
    name = varied.notna().idxmax(axis=1) + " " + varied.max(axis=1).map("{:g}".format)
    part = part.assign(variation=name.where(varied.notna().any(axis=1), "none").str.replace("decay", "wd"))
    ends = part.set_index(["rival", "base", "variation", "seed"])["end"]
    rivals = [rival for rival in ends.index.unique("rival") if rival != "constant"]
    gains = pd.concat({rival: compare(ends["constant"], ends[rival]) for rival in rivals}, names=["rival"])
    return np.log2(gains[["mean", "low", "high"]].where(gains["mean"].notna()))


def variations(part: pd.DataFrame) -> Iterator[Claim]:
    """Those about what is varied: the gain of σ = 2 at one value less that at another."""
    gains = gains_of(part)["mean"]["sigma2"].unstack("variation")
    for key, text, first, *others in (
        ("erases", "wd erases the gain of σ = 2 over a constant lr", "none", "wd 0.001", "wd 0.01"),
        ("width", "Width helps: the gain grows", "width 16", "width 256"),
        ("depth", "Depth helps: the gain grows", "depth 1", "depth 4"),
        ("images", "More images help: the gain grows", "images 100", "images 500"),
    ):
        both = gains.melt(first, others, value_name="more")
        less, more = both[first], both["more"]
        known = less.notna() & more.notna() & ((less > 0) | (key != "erases"))
        held = (more <= ERASED * less if key == "erases" else more > less).astype(object).where(known, None)
        yield Claim(key, text, held, {CHANGE: (more - less).where(known)}, "{:+.2f}")
