"""One figure a lattice: every cell's accuracy over λα/(1−ρ), and over λ/(1−ρ), whichever of them is the steep one."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import pages
from benchmarks.lattice.findings import Evidence, power, products

STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}


def picture(evidence: Evidence) -> bytes:
    """Both panels, a dot a cell, coloured by weight decay."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        decays = [cell[2] for cell in evidence.means]
        for axes, (name, exponents) in zip(panels, products(evidence.lattice).items(), strict=True):
            steps = [power(cell, exponents) for cell in evidence.means]
            dots = axes.scatter(steps, list(evidence.means.values()), s=9, c=decays, cmap="viridis", alpha=0.8, lw=0)
            axes.set_xlabel(f"log₂ {name}")
        panels[0].set_ylabel("validation accuracy in %, mean of the seeds")
        figure.colorbar(dots, ax=panels, label="log₂ α")
        figure.suptitle(f"{evidence.lattice.name}: {len(evidence.means)} cells; diverged ones at chance", fontsize=10)
        return pages.png(figure, 100)
