"""One figure a lattice: accuracy against λ for three weight decays, whole runs and scouts, from the smooth fits."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.runs_to_target.figures import STYLE
from benchmarks.scouts.findings import Evidence

COLOURS = ("#0072B2", "#E69F00", "#009E73")


def picture(evidence: Evidence) -> bytes:
    """Solid: whole runs; dashed: scouts. There must be facts."""
    assert evidence.facts is not None
    curves = evidence.facts["curves"]
    middle = "1−ρ" if evidence.lattice.optimizer == "sgd" else "1−β₁"
    decays = [key for key in curves if key not in ("rates", "averaging")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5, 3.5), layout="constrained")
        axes = figure.subplots()
        for decay, colour in zip(sorted(decays, key=int), COLOURS, strict=True):
            for curve, style in zip(curves[decay], ("-", "--"), strict=True):
                label = f"α = 2^{decay}" if style == "-" else None
                axes.plot(curves["rates"], curve, style, color=colour, lw=1.6, label=label)
        axes.set(xlabel="log₂ λ", ylabel="accuracy, %", title=f"{middle} = 2^{curves['averaging']}; scouts dashed")
        axes.legend(frameon=False)
        return pages.png(figure, 90)
