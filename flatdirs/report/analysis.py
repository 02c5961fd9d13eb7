"""The analysis of a study as sections of a report. An analysis with too few runs is a section of one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flatdirs.analysis.clusters import clusters
from flatdirs.analysis.correlation import correlations, quadrants
from flatdirs.analysis.curve_shape import shape
from flatdirs.analysis.diverged_runs import divergence
from flatdirs.analysis.edge_of_stability import stabilities
from flatdirs.analysis.exploration import exploration
from flatdirs.analysis.gradient_norms import gradient_norms
from flatdirs.analysis.importance import importances
from flatdirs.analysis.ranges import edges, uniform_rates
from flatdirs.analysis.sweep import Missing, Sweep
from flatdirs.backend.table_rows import counted
from flatdirs.report import analysis_search, analysis_training
from flatdirs.report.analysis_text import Content, settings_text
from flatdirs.report.continuation import continuation
from flatdirs.report.sections import Section
from flatdirs.report.tables import number


def sections(
    sweep: Sweep,
    rungs: Sequence[int] = (),
    seed: int = 0,
    output: Path = Path("studies"),
    best: str | None = None,
    verdict: Sequence[str] = (),
) -> tuple[Section, ...]:
    """The whole analysis. `rungs`: evaluations at which rank correlations are computed, see `correlations`.

    `seed`: of bootstrap, k-means and fANOVA. `output`: the folder of studies, for the command that continues a search.
    `best`: best expected and best observed run in words; None for the best observed one. `verdict`: lines on what is
    handed over.
    """
    training, search = analysis_training, analysis_search
    known = correlations(sweep, rungs, seed)
    return (
        _summary(sweep, output, best, verdict),
        _section("gradients", "Gradient norm against learning rate", gradient_norms(sweep), training.gradients),
        _section("correlations", "How early the final loss is known", known, training.correlations, sweep),
        _section("quadrants", "Finished runs by loss and metric", quadrants(sweep), search.quadrants, sweep),
        _section("clusters", "Clusters of the finished runs", clusters(sweep, seed), search.clusters),
        _section("exploration", "Exploration and exploitation", exploration(sweep), search.exploration),
        _section("shape", "Shape of the best runs' loss curves", shape(sweep), training.curve_shape),
        _section("stability", "Edge of stability", stabilities(sweep), training.edge_of_stability, sweep),
        _section("importance", "Importance of the hyperparameters", importances(sweep, seed), search.importance),
        _section("divergence", "Where runs diverge", divergence(sweep), search.divergence, sweep),
    )


def _section(name: str, title: str, found: object, show: Callable[..., Content], *more: Sweep) -> Section:
    """`show(found, *more)` as a section, or the sentence that says why there is no result."""
    if isinstance(found, Missing):
        return Section(name, title, [found.sentence])
    return Section(name, title, *show(found, *more))


def _summary(sweep: Sweep, output: Path, told: str | None, verdict: Sequence[str]) -> Section:
    """How many runs, the best of them, what is handed over, and what is wrong with the ranges."""
    states = [run.state for run in sweep.runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("finished", "pruned", "diverged"))
    sentences = [f"{counted(len(sweep.runs))}: {counts}; loss stands for the {sweep.loss_name}, lower is better"]
    if told is not None:
        sentences.append(f"best: {told}")
    elif (best := sweep.best) is not None:
        settings = settings_text(best.hyperparameters)
        sentences.append(f"best: {sweep.word} {best.number}, value {number(best.value or 0)}, {settings}")
    sentences += [*verdict, *(f"warning: {sentence}" for sentence in uniform_rates(sweep))]
    if found := edges(sweep):
        where = " and ".join(
            f"at the {'upper' if edge.at_top else 'lower'} end of the range of {edge.range.name} "
            f"[{edge.range.low:.4g}, {edge.range.high:.4g}] ({edge.value:.4g})"
            for edge in found
        )
        sentences += [f"warning: the best run is {where}; to search a wider range:", continuation(sweep, found, output)]
    return Section("summary", f"Study {sweep.name}", sentences)
