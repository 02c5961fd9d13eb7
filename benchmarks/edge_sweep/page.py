"""Tables, numbers and a figure from the rows. Differences are of final losses, so negative ones are better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, spearmanr, ttest_1samp

from benchmarks import drawing
from benchmarks.edge_sweep import runs
from benchmarks.edge_sweep.runs import LOSS, RUNGS, SEEN, SUBJECTS, VARIANTS

POINT, SWEEP = list(runs.RANGES), ["repetition", "seen"]
RISK = 0.01  # of stopping the run that would have won
percent = "{:.0%}".format


def values(folder: Path) -> dict[str, str]:
    """Everything that the pages quote."""
    parts = [read(folder, part, name) for part in ("recorded", "sweeps", "confirmed") for name in SUBJECTS]
    tables = {
        "recorded": pd.DataFrame([recorded(folder, name) for name in SUBJECTS]),
        "foresight": pd.DataFrame([line for name in SUBJECTS for line in foresight(folder, name)]),
        "pruners": pruners(folder),
        "sweeps": pd.DataFrame([line for name in SUBJECTS for line in sweeps(folder, name)]),
    }
    found = {name: drawing.table(table) for name, table in tables.items()}
    found["hours"] = f"{sum(part.seconds.sum() for part in parts) / 3600:.1f}"
    return found | gains(folder) | kappas(folder) | margins(folder)


def read(folder: Path, part: str, subject: str) -> pd.DataFrame:
    """The rows of PART_SUBJECT.csv; `final` is infinite where a run did not finish."""
    frame = pd.read_csv(folder / f"{part}_{subject}.csv", dtype={"losses": str})
    frame["final"] = frame.loss.where((frame.evaluations == runs.EVALUATIONS) & (frame.diverged == 0), np.inf)
    return frame


def recorded(folder: Path, subject: str) -> dict[str, Any]:
    """What was recorded; seed noise is the standard deviation pooled over the points with several seeds."""
    every = read(folder, "recorded", subject)
    first, several = every[every.seed == 0], every.groupby("number").final.agg(["var", "count"]).query("count > 1")
    noise = np.sqrt(np.average(several["var"], weights=several["count"] - 1))
    line = {"subject": subject, "runs": len(first), "diverged": int(first.diverged.sum())}
    line |= {"best final loss": f"{first.final.min():.4f}", "median": f"{first.final.median():.4f}"}
    line |= {"best lr, 1−beta1, wd": ", ".join(f"{x:.3g}" for x in first.loc[first.final.idxmin(), POINT])}
    return line | {"seed noise": f"{noise:.4f}", "seconds a run": f"{first.seconds.median():.0f}"}


def foresight(folder: Path, subject: str, rungs: Sequence[int] = RUNGS) -> list[dict[str, Any]]:
    """Rank correlation of what is shown at each rung with the final loss, and how many of the best tenth a rung keeps."""
    rows = read(folder, "recorded", subject).query("seed == 0 and final < inf")
    curves, finals, lines = [runs.curve_of(row) for row in rows.to_dict("records")], rows.final.to_numpy(), []
    low, best = finals <= np.median(finals), np.argsort(finals)[: max(1, round(len(finals) / 10))]
    for seen in SEEN:
        known = np.array([curve.seen(seen) for curve in curves])
        shown = {rung: known[:, rung - 1] for rung in rungs}
        line = {f"all, {rung}": spearmanr(now, finals).statistic for rung, now in shown.items()}
        line |= {f"better half, {rung}": spearmanr(now[low], finals[low]).statistic for rung, now in shown.items()}
        kept = {f"kept, {rung}": percent((now[best] <= np.median(now)).mean()) for rung, now in shown.items()}
        lines.append({"subject": subject, "shown": seen, **line, **kept})
    return lines


def pruners(folder: Path) -> pd.DataFrame:
    """A row for each rule and what it was shown (the metrics with the usual kappa), four columns a subject."""
    frame = pd.read_csv(folder / "replays.csv").query(f"seen in {SEEN} and rule != 'none'")
    frame["saved"], frame["stopped"] = 1 - frame.evaluations / frame.whole, frame.kept > frame.best
    frame["above unpruned"], frame["for as much"] = frame.kept - frame.best, frame.kept - frame.as_much
    means = {"saved": share, "stopped": share, "above unpruned": signed, "for as much": signed}
    table = frame.groupby(["rule", "seen", "subject"]).agg(means).unstack().swaplevel(axis=1)[list(SUBJECTS)]
    table = table.reindex(pd.MultiIndex.from_frame(frame[["rule", "seen"]].drop_duplicates()))
    return table.set_axis([", ".join(names) for names in table], axis=1).reset_index()


def kappas(folder: Path) -> dict[str, str]:
    """What rungs keep when shown a variant, less when shown the loss: means for each kappa, from least to most."""
    frame = pd.read_csv(folder / "replays.csv").query("rule == 'rungs'")
    kept = frame.pivot(index=["subject", "order"], columns="seen", values="kept")
    less = kept.sub(kept[LOSS], axis=0).groupby("subject").mean().T
    ends = less.groupby(less.index.str.partition("@").get_level_values(0)).agg(["min", "max"]).loc[list(VARIANTS)]
    return {f"{v}-{s}": f"{ends[s]['min'][v]:+.4f} to {ends[s]['max'][v]:+.4f}" for s in SUBJECTS for v in VARIANTS}


def margins(folder: Path) -> dict[str, str]:
    """The margins of `incumbent`; chosen: of those that with all wider ones are safe, the one that saves most."""
    frame = pd.read_csv(folder / "margins.csv")
    lost = frame.pivot_table("lost", "margin", ["first", "subject"], aggfunc="max", sort=False)
    saved = frame.pivot_table("saved", "margin", ["first", "subject"], sort=False)
    safe = (lost.T.groupby("first").max().T <= RISK)[::-1].cummin()
    first, margin = saved.T.groupby("first").mean().T.where(safe).T.stack().idxmax()
    table = pd.concat({"saved": saved.map(percent), "stopped": lost.map("{:.1%}".format)}, axis=1)
    table = table.set_axis([f"{what} from {start}, {name}" for what, start, name in table], axis=1).reset_index()
    about = frame.drop_duplicates("subject").set_index("subject")
    found = {f"{key}-{name}": f"{about[key][name]:g}" for key in ("stride", "per_jitter") for name in SUBJECTS}
    return found | {"margins": drawing.table(table, 0), "first": f"{first:g}", "margin": f"{margin:g}"}


def whole_sweeps(folder: Path, subject: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The trials of whole sweeps, and numbers of each sweep (repetition × what was shown)."""
    frame = read(folder, "sweeps", subject)
    frame = frame[(frame.groupby(SWEEP).trial.transform("size") >= runs.TRIALS) & (frame.trial < runs.TRIALS)].copy()
    last = [runs.curve_of(row).seen(row["seen"])[-1] for row in frame.to_dict("records")]
    frame["last"] = np.where(frame.final < np.inf, last, np.inf)
    frame["spent"] = frame.groupby(SWEEP).evaluations.cumsum()
    fresh = read(folder, "confirmed", subject).groupby(POINT).final.mean().rename("retrained")
    groups, finished = frame.groupby(SWEEP), frame[frame.final < np.inf].groupby(SWEEP)
    found = {"lowest": groups.final.min(), "evaluations": groups.spent.max(), "survivors": finished.size()}
    found["called"] = frame.loc[groups["last"].idxmin()].set_index(SWEEP).final
    found["retrained"] = frame.loc[groups.final.idxmin()].join(fresh, on=POINT).set_index(SWEEP).retrained
    return frame, {what: series.unstack() for what, series in found.items()}


def sweeps(folder: Path, subject: str) -> list[dict[str, Any]]:
    """What whole sweeps end with; for as much: both sides within the evaluations of the one that spent less."""
    frame, found = whole_sweeps(folder, subject)
    middle, lines = frame[frame.final < np.inf].groupby("seen")[[*POINT, "final"]].median(), []
    for seen in SEEN:
        limit = found["evaluations"][[seen, LOSS]].min(axis=1)
        within = frame[frame.spent <= frame.repetition.map(limit)].groupby(SWEEP).final.min().unstack()
        line: dict[str, Any] = {"subject": subject, "shown": seen}
        for head, ends in {"lowest": found["lowest"], "for as much": within, "retrained": found["retrained"]}.items():
            line |= {head: f"{ends[seen].mean():.4f}", f"{head}, less the loss's": gap(ends[seen] - ends[LOSS])}
        line["called best, less the loss's"] = gap(found["called"][seen] - found["lowest"][LOSS])
        line |= {what: f"{found[what][seen].mean():.1f}" for what in ("evaluations", "survivors")}
        lines.append(line | {"their lr, 1−beta1, wd": ", ".join(f"{middle[name][seen]:.2g}" for name in POINT)})
    return lines


def gains(folder: Path) -> dict[str, str]:
    """What decides: winners retrained with fresh seeds, less those of the sweep shown the loss."""
    ends = {name: whole_sweeps(folder, name)[1]["retrained"] for name in SUBJECTS}
    less = {name: frame.sub(frame[LOSS], axis=0) for name, frame in ends.items()}
    lines = [{"": name, **{variant: gap(less[name][variant]) for variant in VARIANTS}} for name in SUBJECTS]
    found = {"gains": drawing.table(pd.DataFrame(lines))}
    for variant, both in pd.concat(less)[list(VARIANTS)].items():
        chance = binomtest(int((both < 0).sum()), int((both != 0).sum())).pvalue
        found |= {f"{variant}-lower": f"{(both < 0).sum()} of {len(both)}", f"{variant}-p": f"{chance:.2g}"}
        found |= {f"{variant}-open-{name}": f"{-interval(less[name][variant])[0]:.2g}" for name in SUBJECTS}
    return found


def interval(differences: pd.Series) -> tuple[float, float]:
    """Student's 95 % interval of the mean."""
    found = ttest_1samp(differences, 0).confidence_interval(0.95)
    return float(found.low), float(found.high)


def gap(differences: pd.Series) -> str:
    """Mean, interval, and in how many repetitions it is lower; a dash where all are 0 or one side diverged."""
    differences = differences.dropna()
    if not differences.any() or not np.isfinite(differences).all():
        return drawing.MISSING
    low, high = interval(differences)
    lower = f"lower in {(differences < 0).sum()} of {len(differences)}"
    return f"{differences.mean():+.4f} [{low:+.4f}, {high:+.4f}], {lower}"


def share(sample: pd.Series) -> str:
    """Mean in percent."""
    return percent(sample.mean())


def signed(sample: pd.Series) -> str:
    """Mean ± standard error with its sign."""
    return f"{sample.mean():+.4f} ± {sample.sem():.4f}"


def figures(folder: Path) -> dict[str, bytes]:
    """What is shown at each evaluation: its rank correlation with the final loss."""
    figure, panels = drawing.canvas(columns=2, width=4.5, height=3.0)
    steps = range(10, runs.EVALUATIONS + 1, 5)
    for subject, axes in zip(SUBJECTS, panels, strict=True):
        for line in foresight(folder, subject, steps):
            axes.plot(steps, [line[f"all, {step}"] for step in steps], label=line["shown"])
        for rung in RUNGS:
            axes.axvline(rung, color="grey", lw=0.8, ls=":")
        axes.set(title=subject, xlabel="evaluation", ylabel="rank correlation")
        axes.legend(fontsize=8)
    return {"correlation.png": drawing.png(figure)}
