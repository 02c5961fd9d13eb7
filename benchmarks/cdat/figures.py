"""The figures of the page, from the rows: lines are the lowest seed on file, colours Okabe and Ito's."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks import pages
from benchmarks.cdat import claims, findings, variations
from benchmarks.cdat.findings import NAMES, Case, Evidence, Look, Trained
from benchmarks.cdat.plan import BASES, EMAS, PROBLEMS, VARIATIONS, VARIED_BASES, VARIED_SIGMAS
from benchmarks.cdat.toy_runs import CLOSED, CONSTANT, TUNERS

COLOURS = {
    "constant": "#666666",
    "schedule": "#E69F00",
    "linesearch": "#009E73",
    "sigma1": "#0072B2",
    "sigma2": "#D55E00",
}
SIGMA_COLOURS = ("#CC79A7", "#56B4E9", "#117733", "#000000")  # of VARIED_SIGMAS; none is a rival's
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
}
LOOKS: dict[str, Callable[[Look], float]] = {
    "rate": lambda look: look.rate,
    "sharpness": lambda look: look.sharpness,
    "ratio to the edge": lambda look: look.ratio,
    "|alignment|": lambda look: look.alignment,
}


def pictures(evidence: Evidence) -> dict[str, bytes]:
    """Every figure whose rows are on file, by its file's name."""
    with mpl.rc_context(STYLE):
        found: dict[str, Figure] = {}
        for problem in PROBLEMS:
            if cases := [case for case in evidence.cases if case.problem == problem]:
                found[f"full_batch_{problem}.png"] = full_batch(cases)
        if cases := [case for case in evidence.cases if {"sigma1", "sigma2"} <= case.runs.keys()]:
            found["one_step.png"] = one_step(cases)
        if [run for run in evidence.part("mini_batch") if run.run.method == "cdat"]:
            found["mini_batch.png"] = mini_batch(evidence)
        if any(variations.gain(evidence, name, value) for name, value in VARIATIONS):
            found["sensitivity.png"] = sensitivity(evidence)
        if evidence.toy:
            found["toy.png"] = toy(evidence)
        return {name: pages.png(figure, 100) for name, figure in found.items()}


def full_batch(cases: list[Case]) -> Figure:
    """A row a base: loss, rate, sharpness, ratio, alignment against steps."""
    figure = Figure(figsize=(12, 2.3 * len(cases)), layout="constrained")
    table = figure.subplots(len(cases), 1 + len(LOOKS), squeeze=False)
    for row, case in zip(table, cases, strict=True):
        for rival in NAMES:
            runs = case.every(rival)
            if runs:
                draw_run(row, runs[0], rival)
        for axes, title in zip(row, ("training loss", *LOOKS), strict=True):
            axes.set_title(f"{case.base}: {title}", fontsize=8)
            if title not in {"|alignment|", "ratio to the edge"}:
                axes.set_yscale("log")
        row[3].set_ylim(0, 2)
        row[3].axhline(1, color="black", linewidth=0.6)
    for axes in table[-1]:
        axes.set_xlabel("step")
    table[0][0].legend(fontsize=7)
    return figure


def draw_run(row: list[Axes], run: Trained, rival: str) -> None:
    """One line in every panel."""
    line = {"color": COLOURS[rival], "label": NAMES[rival]}
    row[0].plot([step for step, _, _ in run.curve], [loss for _, loss, _ in run.curve], **line)
    for axes, of in zip(row[1:], LOOKS.values(), strict=True):
        axes.plot([look.step for look in run.looks], [of(look) for look in run.looks], **line)


def one_step(cases: list[Case]) -> Figure:
    """A row a problem, two panels a base: what one step of either gains along the run of σ = 1; the two runs."""
    problems = [problem for problem in PROBLEMS if any(case.problem == problem for case in cases)]
    bases = [base for base in BASES if any(case.base == base for case in cases)]
    figure = Figure(figsize=(4.4 * len(bases), 1.9 * len(problems) + 0.4), layout="constrained")
    table = figure.subplots(len(problems), 2 * len(bases), squeeze=False)
    for axes in table.flat:
        axes.set_visible(False)
    for case in cases:
        row, column = problems.index(case.problem), 2 * bases.index(case.base)
        draw_steps(case, table[row][column], table[row][column + 1])
    handles = [Patch(color=COLOURS[rival], label=NAMES[rival]) for rival in ("sigma1", "sigma2")]
    title = "a step: loss that it takes off, along the run of σ = 1; the run: training loss"
    figure.legend(handles=handles, loc="outside upper center", ncols=2, title=title)
    return figure


def draw_steps(case: Case, left: Axes, right: Axes) -> None:
    """One case of it."""
    looks = case.every("sigma1")[0].looks
    steps = [look.step for look in looks]
    left.plot(steps, [look.gain1 for look in looks], color=COLOURS["sigma1"])
    left.plot(steps, [look.gain2 for look in looks], color=COLOURS["sigma2"])
    largest = max((look.gain1 for look in looks), default=1.0)
    left.set_yscale("symlog", linthresh=max(1e-3 * largest, 1e-9))
    for rival in ("sigma1", "sigma2"):
        curve = case.every(rival)[0].curve
        right.plot([step for step, _, _ in curve], [loss for _, loss, _ in curve], color=COLOURS[rival])
    right.set_yscale("log")
    for axes, what in ((left, "a step"), (right, "the run")):
        axes.set_visible(True)
        axes.set_title(f"{case.name}: {what}", fontsize=7)
        axes.set_xlabel("step", fontsize=7)
        axes.tick_params(labelsize=6)


def mini_batch(evidence: Evidence) -> Figure:
    """Two heat maps."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, ema in zip(figure.subplots(1, 2), EMAS, strict=True):
        table = findings.sigma_table(evidence.part("mini_batch"), ema)
        axes.set(xlabel="batch", ylabel="σ", title=f"ema {ema:g}")
        axes.grid(visible=False)
        if not table:
            continue
        sigmas, batches = sorted({s for s, _ in table}), sorted({b for _, b in table})
        logs = [
            [
                math.log10(value) if math.isfinite(value := table.get((s, b), (math.nan, 0))[0]) else math.nan
                for b in batches
            ]
            for s in sigmas
        ]
        image = axes.imshow(logs, cmap="viridis_r", aspect="auto", origin="lower", vmin=-2, vmax=0)
        for i, row in enumerate(logs):
            for j, value in enumerate(row):
                text = f"{10**value:.2g}" if math.isfinite(value) else "–"
                axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if value < -1 else "black")
        axes.set_xticks(range(len(batches)), [str(batch) for batch in batches])
        axes.set_yticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])
        if ema == EMAS[-1]:
            figure.colorbar(image, ax=axes, label="log₁₀ end / initial loss")
    return figure


def sensitivity(evidence: Evidence) -> Figure:
    """The gain over the tuned constant rate, a panel a base, a group of bars a variation."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    panels = figure.subplots(len(VARIED_BASES), 1, sharex=True)
    for axes, base in zip(panels, VARIED_BASES, strict=True):
        draw_gains(evidence, base, axes)
    labels = ["as it is", *(f"{name} {value:g}" for name, value in VARIATIONS[1:])]
    panels[-1].set_xticks(range(len(VARIATIONS)), labels, rotation=30, ha="right")
    handles = [
        Patch(color=colour, label=f"σ = {sigma:g}") for colour, sigma in zip(SIGMA_COLOURS, VARIED_SIGMAS, strict=True)
    ]
    panels[0].legend(handles=handles, fontsize=7)
    return figure


def draw_gains(evidence: Evidence, base: str, axes: Axes) -> None:
    """One panel of it."""
    width = 0.8 / len(VARIED_SIGMAS)
    for number, sigma in enumerate(VARIED_SIGMAS):
        for place, (name, value) in enumerate(VARIATIONS):
            found = variations.gain(evidence, name, value, sigma, base)
            if found is not None and found.octaves is not None:
                height = max(-4.0, min(found.octaves, 4.0))
                axes.bar(place + (number - 1.5) * width, height, width, color=SIGMA_COLOURS[number])
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylabel("octaves below the\nconstant rate's loss", fontsize=8)
    axes.set_title(f"{base}, cut at ±4", fontsize=8)


def toy(evidence: Evidence) -> Figure:
    """A column each: a constant rate, tuners, CDAT in the loop; sharpness, y = ηs − 2 and rate."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    table = figure.subplots(3, 3)
    columns = (
        ("constant", (CONSTANT,), "η = {:g}"),
        ("tuner", TUNERS, "η = {:g}/s"),
        ("cdat", CLOSED, "CDAT, σ = {:g}"),
    )
    for column, (kind, every, label) in enumerate(columns):
        for number, colour in zip(every, list(COLOURS.values())[::-1], strict=False):
            path = claims.toy_path(evidence, kind, number)
            steps = [step for step, _, _ in path]
            for axes, values in zip(
                table[:, column],
                ([s for _, s, _ in path], [rate * s - 2 for _, s, rate in path], [rate for _, _, rate in path]),
                strict=True,
            ):
                axes.plot(steps, values, color=colour, label=label.format(number))
        table[1, column].set_ylim(-1.2, 1.2)
        table[1, column].axhline(0, color="black", linewidth=0.6)
        table[0, column].legend(fontsize=7)
        table[2, column].set_xlabel("step")
    for axes, name in zip(table[:, 0], ("sharpness s", "y = ηs − 2", "rate η"), strict=True):
        axes.set_ylabel(name)
    return figure
