"""Tables, numbers and the figure of this folder's pages, from the rows and surfaces.json. No torch, no Optuna, no fit.

A repetition that never arrives counts as one run more than the budget in every median and test. Tests are sign tests, paired by seed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from benchmarks import drawing
from benchmarks.runs_to_target import conditions
from benchmarks.runs_to_target.conditions import AFTER, BUDGET, NONE, PLUS, SETTINGS, TARGETS, Condition

OURS = "flatdirs"
SHOWN = 1.0  # percent: the target of the figure and of the short table
LEVEL = 0.05  # of p, from which on a test says nothing
ID = list(Condition._fields)
COLOURS = {OURS: "C3", "myrtle": "C0", "raw": "C9", "tpe": "C2", "cmaes": "C4", "cfo": "C1", "gp": "k", "random": "C7"}
SHORT = {
    **{f"`{name}`, auto": (name, NONE, "auto") for name in (OURS, "myrtle")},
    **{f"TPE, {box} box": ("tpe", box, NONE) for box in ("expert", "ignorant")},
    **{f"CMA-ES, auto, {box} box": ("cmaes", box, "auto") for box in ("expert", "ignorant")},
    **{f"random, {box} box": ("random", box, NONE) for box in ("expert", "ignorant")},
}


class Evidence:
    """The rows of all lattices that were run, what they come to, and the facts of their surfaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, Any] = json.loads((folder / "surfaces.json").read_text(encoding="utf-8"))
        self.names = [name for name in SETTINGS["lattices"] if (folder / f"{name}.csv").exists()]
        self.facts = {name: self.entries[name]["facts"] for name in self.names}
        self.starts = {name: list(SETTINGS[conditions.named(name).optimizer]["starts"]) for name in self.names}
        self.cases = [(name, t, start) for name in self.names for t in TARGETS for start in self.starts[name]]
        parts = [pd.read_csv(folder / f"{name}.csv", dtype={"key": str}).assign(lattice=name) for name in self.names]
        rows = self.known(pd.concat(parts, ignore_index=True))
        runs = rows.melt([*ID, "seed"], [f"runs_{target:g}" for target in TARGETS], "target", "needed")
        runs["target"] = runs["target"].str.removeprefix("runs_").astype(float)
        runs["needed"] = runs["needed"].fillna(BUDGET + 1.0).clip(upper=BUDGET + 1.0)
        grouped = runs.assign(never=100.0 * (runs["needed"] > BUDGET)).groupby([*ID, "target"])
        self.summary = grouped.agg(median=("needed", "median"), never=("never", "mean"))
        self.runs = {name: some.set_index("seed")["needed"] for name, some in grouped}
        whole = rows[rows.groupby(ID)["complete"].transform("min") == 1]  # else the slow repetitions alone are whole
        middle = whole.groupby(ID)[[f"returned_{count}" for count in AFTER]].median()
        best = middle.index.get_level_values("lattice").map({name: facts["best"] for name, facts in self.facts.items()})
        self.lost = middle.rsub(best, axis=0)  # points that what is returned lies below the best

    def known(self, rows: pd.DataFrame, surface: str = "") -> pd.DataFrame:
        """The rows with the key of their condition; those of another surface, box, start or search are left out."""
        fitted = {name: f"{self.entries[name]['checksum']}-{self.entries[name]['version']}" for name in self.names}
        every = [condition for name in self.names for condition in conditions.conditions(name)]
        keys = {one: conditions.key(one, surface or fitted[one.lattice]) for one in every}
        own = [keys.get(parts) for parts in rows[ID].itertuples(index=False, name=None)]
        return rows[rows["key"] == pd.Series(own)]

    def median(self, lattice: str, target: float, method: str, box: str = NONE, start: str = NONE) -> float:
        """nan where there are no rows."""
        return float(self.summary["median"].get((lattice, method, box, start, target), math.nan))

    def cell(self, *parts: Any) -> str:
        """A median, and in brackets the percentage that never arrives where there is any; empty where there are no rows."""
        if parts not in self.summary.index:
            return ""
        median, never = self.summary.loc[parts]
        return ("never" if median > BUDGET else f"{median:.3g}") + (f" ({never:.0f})" if never else "")

    def faster(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
        """By the sign test over the seeds of both: 1 where the one needs fewer runs, −1 where the other does, 0 where neither."""
        gaps = (self.runs[one] - self.runs[other]).dropna()
        fewer, more = int((gaps < 0).sum()), int((gaps > 0).sum())
        return (fewer > more) - (fewer < more) if fewer + more and binomtest(fewer, fewer + more).pvalue < LEVEL else 0


def promises(evidence: Evidence) -> pd.DataFrame:
    """Every promise on the targets that fill enough, and little enough, of the expert's box: what was measured, and whether it is met."""
    (low, high), most, found = SETTINGS["bars"]["volume"], SETTINGS["bars"]["never_share"], []
    for name, facts in evidence.facts.items():
        for target in [t for t in TARGETS if low <= facts["volumes"]["expert"][f"{t:g}"] <= high]:
            there = [s for s, value in facts["starts"].items() if value >= facts["best"] * (1 - target / 100)]
            for bar, start in [(one, start) for one in SETTINGS["bars"]["lines"] for start in one["starts"]]:
                own = evidence.median(name, target, OURS, NONE, start)
                promise, measured, bound = f"at most {bar.get('runs')}", f"{own:.3g}", bar.get("runs")
                if "method" in bar:
                    begin = NONE if bar["method"] == "tpe" else start
                    other, ratio = evidence.median(name, target, bar["method"], bar["box"], begin), bar.get("ratio", 1)
                    part = "less than " if "below" in bar else "at most " + f"1/{round(1 / ratio)} of " * (ratio != 1)
                    promise, bound = f"{part}the median of `{bar['method']}`, {bar['box']} box", ratio * other
                    measured += f" against {other:.3g}"
                met = own < bound if "below" in bar else own <= bound
                found.append((name, target, start, promise, measured, met, start in there))
            own = pd.concat([evidence.runs[name, OURS, NONE, start, target] for start in evidence.starts[name]])
            lost, promise = int((own > BUDGET).sum()), f"at most {most:g} % never arrive"
            found.append((name, target, "all", promise, f"{lost} of {len(own)}", 100 * lost <= most * len(own), False))
    return pd.DataFrame(found, columns=["lattice", "target", "start", "promise", "measured", "met", "begun"])


def tally(found: pd.DataFrame) -> pd.DataFrame:
    """By promise: how many lines are met, and each that is missed; * where the start is at the target already."""
    start = found["start"] + found["begun"].map({True: "*: ", False: ": "})
    missed = found["lattice"] + found["target"].map(" {:g} % ".format) + start + found["measured"]
    grouped = found.assign(missed=missed.where(~found["met"])).groupby("promise", sort=False)
    columns = {"lines": ("met", "size"), "met": ("met", "sum")}
    columns["missed"] = ("missed", lambda some: "; ".join(some.dropna()))
    return grouped.agg(**columns).reset_index()


def behind(evidence: Evidence) -> pd.DataFrame:
    """Every case in which another method needs fewer runs, from the same start or from none: each of them, the quickest first."""
    found = []
    for name, target, start in evidence.cases:
        own = evidence.median(name, target, OURS, NONE, start)
        others = evidence.summary["median"].xs((name, target), level=("lattice", "target"))
        others = others[(others < own) & others.index.isin([start, NONE], level="start")].sort_values(kind="stable")
        texts = []
        for (method, box, begin), median in others.items():
            sure = evidence.faster((name, method, box, begin, target), (name, OURS, NONE, start, target)) > 0
            texts.append(f"`{method}`{'' if box == NONE else f', {box} box'} {median:.3g}{'*' if sure else ''}")
        if texts:
            (_, box, begin), least = others.index[0], others.iloc[0]
            clipped = NONE not in (begin, box) and least <= 1  # the start as its box clips it is at the target
            found.append((name, f"{target:g} %", start, f"{own:.3g}", "; ".join(texts), clipped))
    return pd.DataFrame(found, columns=["lattice", "target", "start", OURS, "fewer runs", "clipped"])


def duels(evidence: Evidence) -> pd.DataFrame:
    """By lattice: in how many cases the same descent needs fewer runs on flat coordinates (myrtle) or on raw ones (raw)."""
    found = {name: {"myrtle": 0, "raw": 0, "neither": 0, "cases of raw": list[str]()} for name in evidence.names}
    for name, target, start in evidence.cases:
        winner = evidence.faster(*((name, method, NONE, start, target) for method in ("myrtle", "raw")))
        found[name][("neither", "myrtle", "raw")[winner]] += 1
        found[name]["cases of raw"] += [f"{target:g} % {start}"] * (winner < 0)
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("lattice").reset_index()
    return table.assign(**{"cases of raw": table["cases of raw"].map(", ".join)})


def medians(evidence: Evidence, name: str) -> pd.DataFrame:
    """One lattice: by method and box the medians to all targets, without a start and from each; and points lost by what is returned."""
    found = []
    for method, box in dict.fromkeys((condition.base, condition.box) for condition in conditions.conditions(name)):
        line, full = {"method": f"`{method}`", "box": box}, method + PLUS * (method in SETTINGS["methods"]["box"])
        for start in (NONE, *evidence.starts[name]):
            cells = [evidence.cell(name, method if start == NONE else full, box, start, target) for target in TARGETS]
            line["no start" if start == NONE else start] = " / ".join(cell for cell in cells if cell)
        for parts in ((name, method, box, NONE), (name, full, box, "auto")):
            if parts in evidence.lost.index:
                line["returned"] = " / ".join(map("{:.2f}".format, evidence.lost.loc[parts]))
        found.append(line)
    return pd.DataFrame(found)


def real(evidence: Evidence) -> pd.DataFrame:
    """Real training: a row a condition, over the repetitions whose returned point was trained again."""
    settings, shown, by = SETTINGS["real"], {count: f"best after {count}" for count in (5, 10, 25)}, [*ID, "seed"]
    rows = evidence.known(pd.read_csv(evidence.folder / "real.csv", dtype={"key": str}), "real")
    some = rows[["lattice", "start", "seed"]].itertuples(index=False)
    rows["at"] = rows["run"] + [conditions.cost(row.lattice, row.seed) if row.start != NONE else 0.0 for row in some]
    best = rows["lattice"].map({name: facts["best"] for name, facts in evidence.facts.items()})
    rows["there"] = rows["accuracy"] >= best * (1 - settings["target"] / 100)
    search, confirm = (rows[rows["kind"] == kind] for kind in ("search", "confirm"))
    found = confirm.groupby(by, sort=False)["accuracy"].agg(["mean", "size"]).query(f"size == {settings['confirmed']}")
    found["runs"] = search[search["there"]].groupby(by)["at"].min()
    found["runs"] = found["runs"].fillna(settings["budget"] + 1.0)
    for count, column in shown.items():
        found[column] = search[(search["at"] <= count + 1e-9) | (search["run"] == 1)].groupby(by)["accuracy"].max()
    grouped = found.groupby(ID, sort=False)
    table = grouped[["runs", *shown.values()]].median()
    table["runs"] = ["never" if runs > settings["budget"] else f"{runs:.3g}" for runs in table["runs"]]
    table["returned"] = grouped["mean"].agg(drawing.spread)
    order = [c for name in evidence.names for c in conditions.conditions(name) if c in table.index]
    return table.assign(mean=grouped["mean"].mean(), error=grouped["mean"].sem()).loc[order].reset_index()


def surfaces(evidence: Evidence) -> dict[str, list[dict[str, Any]]]:
    """By lattice: the cross-validated fit; accuracies of starts and how much of each box reaches the targets; the automatic start."""
    found: dict[str, list[dict[str, Any]]] = {"fits": [], "targets": [], "timescales": [], "auto": []}
    for name, facts in evidence.facts.items():
        off, lattice = evidence.entries[name]["errors"], {"lattice": name}
        fit = {"cells": off["tried"], "diverged (mixed)": f"{off['diverged']} ({off['mixed']})", "best": facts["best"]}
        fit |= {"seed noise there": facts["noise"], "bias near": f"{off['near_bias']:+.2f}"}
        for part in ("near", "overall"):
            fit[f"{part}: error (noise)"] = f"{off[part]:.2f} ({off[part + '_noise']:.2f})"
        fit["wrong side of the cliff"] = off["cliff_wrong"]
        fit["shared noise (pairs)"] = ", ".join(f"{part:.2f} ({pairs})" for part, pairs in facts["shared"])
        found["fits"].append(lattice | fit)
        filled = {start: f"{facts['starts'][start]:.1f}" for start in evidence.starts[name]}
        for box, volumes in facts["volumes"].items():
            each = [f"{volumes[t]:.2f} ({facts['at_edge'][box][t]:.0f})" for t in map("{:g}".format, TARGETS)]
            filled[f"{box} box, %"] = ", ".join(each)
        found["targets"].append(lattice | filled | {"probes": facts["probe_runs"]})
        found["timescales"].append(lattice | {t: f"{a:.2f} ({b:.2f})" for t, (a, b) in facts["timescales"].items()})
        cells = {column: evidence.cell(name, *parts, SHOWN) for column, parts in SHORT.items()}
        found["auto"].append(lattice | {"within": f"{SHOWN:g} %"} | cells)
    return found


def values(folder: Path) -> dict[str, str]:
    """What the pages quote."""
    evidence = Evidence(folder)
    found, slower, fight, trained = promises(evidence), behind(evidence), duels(evidence), real(evidence)
    held, begun = found[found["lattice"].isin(SETTINGS["held_out"])], found[found["begun"]]
    numbers = {"lines": len(found), "met": found["met"].sum(), "missed": (~found["met"]).sum(), "begun": len(begun)}
    numbers |= {"begun_met": begun["met"].sum(), "held_out": len(held), "held_out_met": held["met"].sum()}
    numbers |= {"cases": len(evidence.cases), "slower": len(slower), "clipped": slower["clipped"].sum()}
    numbers |= {f"raw_{word}": fight[word].sum() for word in ("myrtle", "raw", "neither")}
    numbers["raw_chance"] = f"{LEVEL / 2 * len(evidence.cases):.1f}"
    for name, target, start, own, texts, _ in slower.itertuples(index=False):
        least = texts.split(";")[0].strip("*").split()[-1]
        numbers[f"{name}_{start}_{target.split()[0]}"] = f"{own} runs against {least}"
    lattices = []
    for name, facts in evidence.facts.items():
        off, some = evidence.entries[name]["errors"], trained[trained["lattice"] == name]
        numbers[f"error_{name}"] = f"{math.sqrt(max(0.0, off['near'] ** 2 - off['near_noise'] ** 2)):.2f}"
        numbers |= {f"gap_{name}_{target:g}": f"{facts['best'] * target / 100:.2f}" for target in TARGETS}
        for one in some[some["method"] == OURS].itertuples():
            more = some[some["mean"] > one.mean]
            sure = more["mean"] - one.mean > 2 * (more["error"] ** 2 + one.error**2) ** 0.5
            numbers |= {f"real_{name}": one.returned, f"real_{name}_more": len(more), f"real_{name}_sure": sure.sum()}
            numbers |= {f"real_{name}_{other.method}": other.returned for other in more.itertuples()}
            numbers[f"real_{name}_others"] = len(some) - 1
        count = f"{(slower['lattice'] == name).sum()} of {sum(case[0] == name for case in evidence.cases)}"
        line = {"lattice": name, "cases where another needs fewer": count}
        for method in (OURS, "myrtle"):
            line[f"returned: `{method}`"] = evidence.lost["returned_20"].get((name, method, NONE, "auto"))
        outside = [f"{value:g}, {low:.3g} to {high:.3g}" for value, low, high in facts["outside"]["expert"].values()]
        lattices.append({**line, "best lr, where outside the expert's box": "; ".join(outside)})
    tables = {name: pd.DataFrame(lines) for name, lines in (surfaces(evidence) | {"lattices": lattices}).items()}
    tables |= {"promises": tally(found), "behind": slower.drop(columns="clipped"), "raw": fight}
    tables |= {"real": trained.drop(columns=["mean", "error"])}
    tables |= {name: medians(evidence, name) for name in evidence.names}
    return {name: drawing.table(each) for name, each in tables.items()} | {name: str(n) for name, n in numbers.items()}


def figures(folder: Path) -> dict[str, bytes]:
    """The share of seeds at the target against runs, a panel a lattice: methods from `auto`, or without a start."""
    evidence = Evidence(folder)
    figure, panels = drawing.canvas(1, len(evidence.names), 3.2, 3.4)
    for (name, method, box, start, target), runs in evidence.runs.items():
        if target == SHOWN and method in COLOURS and start in ("auto", NONE):
            style = {"color": COLOURS[method], "ls": {"ignorant": "--", "expert": ":"}.get(box, "-")}
            style |= {"label": method if box == NONE else f"{method}, {box}", "lw": 2.4 if method == OURS else 1.2}
            panels[evidence.names.index(name)].ecdf(runs, **style)
    for name, axes in zip(evidence.names, panels, strict=True):
        axes.set(title=name, xlim=(0, BUDGET), ylim=(-0.02, 1.02), xlabel="runs, probes included")
    panels[0].set_ylabel(f"share of seeds within {SHOWN:g} %")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=7, frameon=False, fontsize=8)
    return {"auto.png": drawing.png(figure, 80)}
