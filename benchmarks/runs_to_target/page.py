"""README.md, the full tables and the figures of this folder, from rows and surfaces.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import conditions, text
from benchmarks.runs_to_target.bars import OURS, Bar, at_target, bars, never
from benchmarks.runs_to_target.conditions import HERE, NONE
from benchmarks.runs_to_target.duels import duel_table, raw_sentence
from benchmarks.runs_to_target.findings import TARGETS, Evidence
from benchmarks.runs_to_target.losses import behind_table, handicapped, losses, unsure
from benchmarks.runs_to_target.real_table import real_section
from benchmarks.runs_to_target.tables import brief, full_table, medians, overheads, returned, starts_of

NOTHING = "Not measured yet."
BLOCK = "runs-to-target"
SHOWN = TARGETS[len(TARGETS) // 2]  # the target of the figures and of the short table
CHOSEN = "1"  # the constant of the automatic start, as flatdirs.starting has it; that brings Optuna along


def results(folder: Path = HERE, measured: Path = LATTICES) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.runs_to_target import figures

    every = evidences(folder, measured)
    found: dict[str, str | bytes] = {"README.md": "\n".join(page(every))}
    for evidence in every:
        if evidence.groups:
            found[f"{evidence.lattice}.md"] = "\n".join(full_table(evidence))
            found[f"{evidence.lattice}.png"] = figures.picture(evidence, SHOWN)
    return found


def readme_blocks() -> dict[str, str]:
    """The short table for the project's README."""
    return {BLOCK: "\n".join(short(evidences(HERE, LATTICES)))}


def evidences(folder: Path, measured: Path) -> list[Evidence]:
    """One a lattice."""
    return [Evidence(lattice, folder, measured) for lattice in conditions.settings()["lattices"]]


def page(every: list[Evidence]) -> list[str]:
    """The whole page."""
    lines = [*text.introduction(), *promises(every), *behind_table(every), *raw(every), *text.surfaces(), *fits(every)]
    for evidence in every:
        lines += section(evidence)
    lines += timescales(every)
    return [*lines, *real_section(every), *text.methods(), *overheads(every)]


def raw(every: list[Evidence]) -> list[str]:
    """What flat coordinates do for the source's search."""
    found = raw_sentence(every)
    return ["## Flat coordinates against raw ones", "", *found, ""] if found else []


def promises(every: list[Evidence]) -> list[str]:
    """The bars' table."""
    low, high = conditions.settings()["bars"]["volume"]
    lines = [
        "## The bars",
        "",
        f"What `{OURS}` promised before it was measured, on the targets that fill {low:g} to {high:g} % of the expert's box.",
        "",
    ]
    found = [bar for evidence in every for bar in bars(evidence)]
    if not found:
        return [*lines, NOTHING, ""]
    there = {(e.lattice, target, start) for e in every if e.entry is not None for target, start in at_target(e)}
    lines += [tally(found), *held_out(found), *caveats(every, found, there), ""]
    lines += ["| lattice | target | start | bar | measured | |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {bar.lattice} | {bar.target:g} % | {bar.start}{'*' if (bar.lattice, bar.target, bar.start) in there else ''} | "
        f"{bar.claim} | {bar.measured} | {verdict(bar)} |"
        for bar in found
    ]
    return [*lines, "", *lost(every)]


def caveats(every: list[Evidence], found: list[Bar], there: set[tuple[str, float, str]]) -> list[str]:
    """What the tally does not say by itself."""
    begun = [bar for bar in found if (bar.lattice, bar.target, bar.start) in there]
    met = sum(bar.met is True for bar in begun)
    silent = [e.lattice for e in every if e.entry is not None and not e.counted]
    lines = [
        f"Of these, {len(begun)} ({met} met) begin at the target already, marked *: they compare where searches begin, not the searches.",
        "The constants of the search and of `auto` were chosen on digits and digits_adamw, and on the spread cells of cifar10_small; what is new in",
        "version 4 of the search (measured noise, a shape without a flat product, diverged runs apart) was tried on these three.",
    ]
    if silent:
        lines.append(f"No target of {', '.join(silent)} counts: each fills too much or too little of the expert's box.")
    return [*lines, *handicapped(every), *unsure(every)]


def tally(found: list[Bar]) -> str:
    """How many were met."""
    met, missed = (sum(bar.met is value for bar in found) for value in (True, False))
    rest = len(found) - met - missed
    return f"{met} of {len(found)} lines met, {missed} missed" + (f", {rest} not measured." if rest else ".")


def held_out(found: list[Bar]) -> list[str]:
    """How many of the bars on lattices that the search was not made with."""
    names = conditions.settings()["held_out"]
    unseen = [bar for bar in found if bar.lattice in names]
    where = " and ".join(name for name in names if any(bar.lattice == name for bar in unseen))
    return [f"On {where}, on which nothing was chosen: {tally(unseen)}"] if unseen else []


def verdict(bar: Bar) -> str:
    """Met or missed."""
    return "–" if bar.met is None else "met" if bar.met else "**missed**"


def lost(every: list[Evidence]) -> list[str]:
    """The repetitions of flatdirs that never arrived, each."""
    lines = []
    for evidence in every:
        if evidence.entry is not None:
            for target in evidence.counted:
                for start, seeds in never(evidence, target):
                    names = ", ".join(map(str, seeds))
                    lines.append(f"- {evidence.lattice}, {target:g} %, from {start}: seeds {names}")
    return [f"Repetitions of `{OURS}` that never arrived:", "", *lines, ""] if lines else []


def fits(every: list[Evidence]) -> list[str]:
    """The cross-validation of every surface."""
    lines = [
        "| lattice | cells | diverged (mixed) | best of the fit | seeds' deviation there | near: error (noise alone) | bias | overall: error (noise alone) | cells on the wrong side of the cliff | luck shared (pairs) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for evidence in every:
        if evidence.entry is None:
            lines.append(f"| {evidence.lattice} | {NOTHING.lower()} | | | | | | | | |")
            continue
        off, facts = evidence.entry["errors"], evidence.facts
        shared = ", ".join(f"{part:.2f} ({pairs})" for part, pairs in facts["shared"])
        lines.append(
            f"| {evidence.lattice} | {off['tried']:.0f} | {off['diverged']:.0f} ({off['mixed']:.0f}) | {facts['best']:.2f} % | "
            f"{facts['noise']:.2f} | {off['near']:.2f} ({off['near_noise']:.2f}) | {off['near_bias']:+.2f} | "
            f"{off['overall']:.2f} ({off['overall_noise']:.2f}) | {off['cliff_wrong']:.0f} | {shared} |"
        )
    return [*lines, ""]


def section(evidence: Evidence) -> list[str]:
    """One lattice."""
    lines = [f"## {evidence.lattice}", ""]
    if evidence.entry is None or not evidence.groups:
        return [*lines, NOTHING, ""]
    lines += [*gaps(evidence), *hardness(evidence)]
    for target in TARGETS:
        lines += medians(evidence, target)
    lines += [
        f"Quartiles, intervals, epochs and tests: [{evidence.lattice}.md]({evidence.lattice}.md).",
        "",
        f"![share of seeds at the target]({evidence.lattice}.png)",
        "",
        *duel_table(evidence),
        *returned(evidence),
    ]
    return lines


def gaps(evidence: Evidence) -> list[str]:
    """What is missing, and whether the lattice has grown since."""
    lines = []
    if evidence.stale:
        lines += ["The lattice has other runs now than those this was made on; `make bench` makes it anew.", ""]
    if evidence.missing:
        short = sorted({condition.method for condition in evidence.missing})
        lines += [f"Not all of it is measured: {', '.join(f'`{name}`' for name in short)} lack repetitions.", ""]
    if evidence.cut:
        cut = sorted({condition.method for condition in evidence.cut})
        lines += [
            f"Repetitions of {', '.join(f'`{name}`' for name in cut)} ended at the tightest target, so that what they return is not known and the last table here is without them;",
            "`make bench-full` runs them to the end.",
            "",
        ]
    return lines


def hardness(evidence: Evidence) -> list[str]:
    """How much of each box every target fills, and how good the starts are."""
    facts = evidence.facts
    volumes = facts["volumes"]
    lines = [
        f"Targets, and the percentage of each box that reaches them (those in bold count for the bars), {facts['epochs']} epochs a run;",
        "in brackets how much of that lies on an end of the lattice or beyond it, where the fit repeats the edge:",
    ]
    lines += ["", "| target | accuracy | " + " | ".join(f"{box} box" for box in volumes) + " |"]
    lines += ["|---|---|" + "---|" * len(volumes)]
    for target in TARGETS:
        name = f"**{target:g} %**" if target in evidence.counted else f"{target:g} %"
        edges = facts["at_edge"]
        each = " | ".join(f"{volumes[box][f'{target:g}']:.2f} ({edges[box][f'{target:g}']:.0f} %)" for box in volumes)
        lines.append(f"| {name} | {facts['best'] * (1 - target / 100):.2f} | {each} |")
    names = [name for name in starts_of(evidence) if name in facts["starts"]]
    starts = ", ".join(f"{name} {facts['starts'][name]:.1f}" for name in names)
    cost = (
        "" if facts["probe_runs"] is None else f" The probes of `auto` cost as much as {facts['probe_runs']:.2f} runs."
    )
    lines += ["", f"Noiseless accuracy of the starts (of `auto` the median): {starts}.{cost}"]
    for box, found in facts["outside"].items():
        each = ", ".join(f"{axis} {value:g} ({low:.3g} to {high:.3g})" for axis, (value, low, high) in found.items())
        lines += [f"The best of the fit lies outside the {box} box, in brackets its ends: {each}."] if each else []
    return [*lines, ""]


def timescales(every: list[Evidence]) -> list[str]:
    """How much the constant of the automatic start's weight decay matters."""
    known = {e.lattice: e.facts["timescales"] for e in every if e.entry is not None and e.facts.get("timescales")}
    if not known:
        return []
    names = list(next(iter(known.values())))
    lines = [
        "## The timescale of the automatic start",
        "",
        f"Its weight decay makes T·λα/(1−ρ) (AdamW: T·λα) a constant: {CHOSEN}, chosen by this table. Points that the start loses to the best of the",
        "fit by that constant, without noise: median over the stored probes (90 % quantile). The decay is at most 0.02 (AdamW: 1), whatever the",
        "rule says, so that a larger constant may give the same start.",
        *capped(known, names),
        "",
        f"| lattice | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    for name, found in known.items():
        lines.append(f"| {name} | " + " | ".join(f"{found[key][0]:.2f} ({found[key][1]:.2f})" for key in names) + " |")
    return [*lines, ""]


def capped(known: Mapping[str, Mapping[str, list[float]]], names: list[str]) -> list[str]:
    """From which constant on a lattice's columns are equal, the decay being at its highest."""
    lines = []
    for lattice, found in known.items():
        first = next(
            name for number, name in enumerate(names) if len({tuple(found[key]) for key in names[number:]}) == 1
        )
        if first == names[-1]:
            continue
        bound = f", so that nothing above the chosen {CHOSEN} is tried" if float(first) <= float(CHOSEN) else ""
        lines.append(f"On {lattice} all columns from {first} on are equal: the decay is at its highest there{bound}.")
    return lines


def short(every: list[Evidence]) -> list[str]:
    """A few lines for the project's README: the automatic start against the field."""
    measured = [evidence for evidence in every if evidence.groups]
    if not measured:
        return [NOTHING]
    columns = {
        **{f"`{name}`, auto": (name, NONE, "auto") for name in (OURS, "myrtle")},
        **{f"TPE, {box} box": ("tpe", box, NONE) for box in ("expert", "ignorant")},
        **{f"CMA-ES, auto, {box} box": ("cmaes", box, "auto") for box in ("expert", "ignorant")},
        **{f"random, {box} box": ("random", box, NONE) for box in ("expert", "ignorant")},
    }
    lines = ["| lattice | within | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for evidence in measured:
        each = (brief(evidence.summary(evidence.of(*parts), SHOWN)) or "–" for parts in columns.values())
        lines.append(f"| {evidence.lattice} | {SHOWN:g} % | {' | '.join(each)} |")
    found = [bar for evidence in every for bar in bars(evidence)]
    return [
        *lines,
        "",
        "Median training runs until one is that close to the best accuracy (in brackets the percentage of repetitions that never are),",
        f"probes included, over {conditions.settings()['seeds']} seeds, on fits to lattices of real runs.",
        *([f"Of what `{OURS}` promised: {tally(found)}"] if found else []),
        "[All of it](benchmarks/runs_to_target/README.md).",
        *losses(every, found),
    ]
