"""README.md, the full tables and the figures of this folder, from rows and surfaces.json alone."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.lattice.lattices import HERE as LATTICES
from benchmarks.runs_to_target import conditions, text
from benchmarks.runs_to_target.bars import OURS, Bar, bars, never
from benchmarks.runs_to_target.conditions import HERE, NONE, Condition
from benchmarks.runs_to_target.findings import AFTER, BUDGET, TARGETS, Evidence, Summary, versus

NOTHING = "Not measured yet."
BLOCK = "runs-to-target"


def results(folder: Path = HERE, measured: Path = LATTICES) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.runs_to_target import figures

    every = evidences(folder, measured)
    found: dict[str, str | bytes] = {"README.md": "\n".join(page(every))}
    for evidence in every:
        if evidence.groups:
            found[f"{evidence.lattice}.md"] = "\n".join(full_table(evidence))
            found[f"{evidence.lattice}.png"] = figures.picture(evidence, shown_target(evidence))
    return found


def readme_blocks() -> dict[str, str]:
    """The short table for the project's README."""
    return {BLOCK: "\n".join(short(evidences(HERE, LATTICES)))}


def evidences(folder: Path, measured: Path) -> list[Evidence]:
    """One a lattice."""
    return [Evidence(lattice, folder, measured) for lattice in conditions.settings()["lattices"]]


def shown_target(evidence: Evidence) -> float:
    """The target of the figure and of the short table: the widest that counts, else the middle one."""
    return evidence.counted[0] if evidence.counted else TARGETS[1]


def page(every: list[Evidence]) -> list[str]:
    """The whole page."""
    lines = [*text.introduction(), *promises(every), *text.surfaces(), *fits(every)]
    for evidence in every:
        lines += section(evidence)
    return [*lines, *text.methods(), *overheads(every)]


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
    lines += [tally(found), "", "| lattice | target | start | bar | measured | |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {bar.lattice} | {bar.target:g} % | {bar.start} | {bar.claim} | {bar.measured} | {verdict(bar)} |"
        for bar in found
    ]
    return [*lines, "", *lost(every)]


def tally(found: list[Bar]) -> str:
    """How many were met."""
    met, missed = (sum(bar.met is value for bar in found) for value in (True, False))
    rest = len(found) - met - missed
    return f"{met} of {len(found)} lines met, {missed} missed" + (f", {rest} not measured." if rest else ".")


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
        "| lattice | cells | diverged (mixed) | best of the fit | seeds' deviation there | near: error (noise alone) | bias | overall: error (noise alone) | cells on the wrong side of the cliff |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for evidence in every:
        if evidence.entry is None:
            lines.append(f"| {evidence.lattice} | {NOTHING.lower()} | | | | | | | |")
            continue
        off, facts = evidence.entry["errors"], evidence.facts
        lines.append(
            f"| {evidence.lattice} | {off['tried']:.0f} | {off['diverged']:.0f} ({off['mixed']:.0f}) | {facts['best']:.2f} % | "
            f"{facts['noise']:.2f} | {off['near']:.2f} ({off['near_noise']:.2f}) | {off['near_bias']:+.2f} | "
            f"{off['overall']:.2f} ({off['overall_noise']:.2f}) | {off['cliff_wrong']:.0f} |"
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
        *duel(evidence),
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
    return lines


def hardness(evidence: Evidence) -> list[str]:
    """How much of each box every target fills, and how good the starts are."""
    facts = evidence.facts
    volumes = facts["volumes"]
    lines = [
        f"Targets, and the percentage of each box that reaches them (those in bold count for the bars), {facts['epochs']} epochs a run:"
    ]
    lines += ["", "| target | accuracy | " + " | ".join(f"{box} box" for box in volumes) + " |"]
    lines += ["|---|---|" + "---|" * len(volumes)]
    for target in TARGETS:
        name = f"**{target:g} %**" if target in evidence.counted else f"{target:g} %"
        each = " | ".join(f"{volumes[box][f'{target:g}']:.2f}" for box in volumes)
        lines.append(f"| {name} | {facts['best'] * (1 - target / 100):.2f} | {each} |")
    names = [name for name in starts_of(evidence) if name in facts["starts"]]
    starts = ", ".join(f"{name} {facts['starts'][name]:.1f}" for name in names)
    cost = (
        "" if facts["probe_runs"] is None else f" The probes of `auto` cost as much as {facts['probe_runs']:.2f} runs."
    )
    return [*lines, "", f"Noiseless accuracy of the starts (of `auto` the median): {starts}.{cost}", ""]


def starts_of(evidence: Evidence) -> list[str]:
    """The starts of a lattice, as conditions.yaml has them."""
    return list(conditions.settings()[conditions.named(evidence.lattice).optimizer]["starts"])


def medians(evidence: Evidence, target: float) -> list[str]:
    """One target: a line a method and box, a column a start."""
    starts = starts_of(evidence)
    lines = [
        f"### {evidence.lattice}: {target:g} %",
        "",
        "Median runs, in brackets the percentage of repetitions that never arrive:",
        "",
        "| method | box | no start | " + " | ".join(starts) + " |",
        "|---|---|---|" + "---|" * len(starts),
    ]
    for method, box in dict.fromkeys((condition.method, condition.box) for condition in evidence.groups):
        each = (evidence.summary(evidence.of(method, box, start), target) for start in (NONE, *starts))
        lines.append(f"| `{method}` | {box} | {' | '.join(brief(found) for found in each)} |")
    return [*lines, ""]


def brief(found: Summary | None) -> str:
    """A median, and who never arrives where anybody does not."""
    if found is None:
        return ""
    middle = "never" if found.median > BUDGET else f"{found.median:.3g}"
    return middle + (f" ({100 * found.never:.0f})" if found.never else "")


def duel(evidence: Evidence) -> list[str]:
    """The descent on flat coordinates against the same on raw ones."""
    lines = [
        "The same descent on flat coordinates and on raw ones (`myrtle`, `raw`), by start, seeds with fewer and with more runs:",
        "",
        "| target | start | myrtle | raw | fewer, more | p |",
        "|---|---|---|---|---|---|",
    ]
    before = len(lines)
    for target in TARGETS:
        for own in (condition for condition in evidence.groups if condition.method == "myrtle"):
            other = evidence.of("raw", start=own.start)
            against = versus(evidence.runs(own, target), evidence.runs(other, target))
            if against is not None:
                each = " | ".join(brief(evidence.summary(one, target)) for one in (own, other))
                lines.append(
                    f"| {target:g} % | {own.start} | {each} | {against.fewer}, {against.more} | {against.p:.2g} |"
                )
    return [*lines, ""] if len(lines) > before else []


def returned(evidence: Evidence) -> list[str]:
    """How good the point is that a method would give back, where repetitions were run to their end."""
    lines = [
        "Points below the best of the fit of what a method would return, noiseless, median over seeds (where all",
        "repetitions were run to their end; where a method has a start, from typical and auto):",
        "",
        "| method | box | start | " + " | ".join(f"after {count}" for count in AFTER) + " |",
        "|---|---|---|" + "---|" * len(AFTER),
    ]
    before = len(lines)
    for condition in evidence.groups:
        if condition.start in (NONE, "typical", "auto"):
            each = [evidence.returned(condition, count) for count in AFTER]
            if all(len(values) == conditions.repetitions(condition) for values in each):
                numbers = " | ".join(f"{evidence.facts['best'] - statistics.median(values):.2f}" for values in each)
                lines.append(f"| `{condition.method}` | {condition.box} | {condition.start} | {numbers} |")
    return [*lines, ""] if len(lines) > before else []


def full_table(evidence: Evidence) -> list[str]:
    """Every condition and target of a lattice."""
    epochs = evidence.facts["epochs"]
    lines = [
        f"# {evidence.lattice}: every condition",
        "",
        f"Runs to the target: median [95 % interval], quartiles, percentage that never arrives ({BUDGET + 1} stands for it), the median in epochs of",
        "training, and by seed against `tpe` in the same box (for methods without a box, in either): fewer runs, more runs, the sign test's p.",
        "[Back to the page](README.md).",
        "",
    ]
    for target in TARGETS:
        lines += [f"## {target:g} %", ""]
        lines += ["| method | box | start | n | median | quartiles | never | epochs | against tpe | p |"]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        lines += [full_line(evidence, condition, target, epochs) for condition in evidence.groups]
        lines += [""]
    return lines


def full_line(evidence: Evidence, condition: Condition, target: float, epochs: int) -> str:
    """One condition."""
    found = evidence.summary(condition, target)
    assert found is not None
    own, tests, values = evidence.runs(condition, target), [], []
    for box in ("ignorant", "expert") if condition.box == NONE else (condition.box,):
        against = None if condition.method == "tpe" else versus(own, evidence.runs(evidence.of("tpe", box), target))
        if against is not None:
            name = f"{box} " if condition.box == NONE else ""
            tests.append(f"{name}{against.fewer}, {against.more}")
            values.append(f"{against.p:.2g}")
    parts = [
        *(f"`{condition.method}`", condition.box, condition.start, str(found.count)),
        f"{found.median:.4g} [{found.low:.4g}, {found.high:.4g}]",
        f"{found.quartiles[0]:.4g} – {found.quartiles[1]:.4g}",
        f"{100 * found.never:.0f} %",
        "–" if found.median > BUDGET else f"{found.median * epochs:.0f}",
        *("; ".join(tests), "; ".join(values)),
    ]
    return f"| {' | '.join(parts)} |"


def overheads(every: list[Evidence]) -> list[str]:
    """A method's own time."""
    spent: dict[str, list[float]] = {}
    for evidence in every:
        for condition, found in evidence.groups.items():
            spent.setdefault(condition.base, []).extend(float(row["overhead_ms"]) for row in found)
    if not spent:
        return []
    lines = [
        "A method's own time, median over repetitions of the mean per proposal (of the machine that made the rows, with other work on it):"
    ]
    lines += ["", "| method | ms per proposal |", "|---|---|"]
    lines += [f"| `{method}` | {statistics.median(values):.2g} |" for method, values in spent.items()]
    return [*lines, ""]


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
        target = shown_target(evidence)
        each = (brief(evidence.summary(evidence.of(*parts), target)) or "–" for parts in columns.values())
        lines.append(f"| {evidence.lattice} | {target:g} % | {' | '.join(each)} |")
    found = [bar for evidence in every for bar in bars(evidence)]
    return [
        *lines,
        "",
        "Median training runs until one is that close to the best accuracy (in brackets the percentage of repetitions that never are),",
        f"probes included, over {conditions.settings()['seeds']} seeds, on fits to lattices of real runs.",
        *([f"Of what `{OURS}` promised: {tally(found)}"] if found else []),
        "[All of it](benchmarks/runs_to_target/README.md).",
    ]
