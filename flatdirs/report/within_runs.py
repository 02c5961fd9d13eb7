"""The sections of an analysis about what happens while runs train: gradients, early knowledge, curves, curvature."""

from __future__ import annotations

from collections.abc import Sequence

from flatdirs.analysis.correlation import LEVEL, correlations
from flatdirs.analysis.curves import FALLEN, PHASES, shape
from flatdirs.analysis.edge_of_stability import EDGE, stabilities
from flatdirs.analysis.gradients import SPIKE, THIN, WINDOW, gradient_norms
from flatdirs.analysis.records import Missing, Sweep
from flatdirs.curvature.figure import curvature_figure
from flatdirs.report import analysis_figures as figures
from flatdirs.report.analysis_words import correlation_text, missing, or_dash, runs_text
from flatdirs.report.sections import Section, Table
from flatdirs.report.tables import number

SHOWN = 10  # runs against the edge


def gradients_section(sweep: Sweep) -> Section:
    """Gradient norm against learning rate."""
    title = "Gradient norm against learning rate"
    found = gradient_norms(sweep)
    if isinstance(found, Missing):
        return missing("gradients", title, found)
    rows = tuple(
        (
            f"{bin_.low:.3g} – {bin_.high:.3g}",
            f"{bin_.steps}{' thin' if bin_.thin else ''}",
            number(bin_.median),
            f"{bin_.lower:.3g} – {bin_.upper:.3g}",
            f"{100 * bin_.spikes:.1f}%",
        )
        for bin_ in found.bins
    )
    sentence = (
        f"{found.steps} steps of {runs_text(found.runs)}; a spike is a step whose norm is above {SPIKE:g} times "
        f"the median of the {WINDOW} recorded steps around it (of long runs every nth step is recorded, so that these "
        f"span {WINDOW}·n): {100 * found.spikes:.2f}% of all; bins of fewer than {THIN} steps are thin, and their "
        f"spikes accidents"
    )
    left_out = f"{found.left_out} steps without a finite norm and a rate above 0 are left out"
    table = Table("by learning rate", ("learning rate", "steps", "median norm", "quartiles", "spikes"), rows)
    sentences = (sentence, left_out) if found.left_out else (sentence,)
    return Section("gradients", title, sentences, (table,), figures.gradients(found))


def correlation_section(sweep: Sweep, rungs: Sequence[int], seed: int) -> Section:
    """What is known at each rung of the end."""
    title = "How early the end is known"
    found = correlations(sweep, rungs, seed)
    if isinstance(found, Missing):
        return missing("correlations", title, found)
    rows = tuple(
        (str(rung.evaluation), str(rung.step), correlation_text(rung.loss), correlation_text(rung.metric))
        for rung in found
    )
    sentences = [
        f"Spearman's rank correlation with the final loss, [{LEVEL}% bootstrap interval] (runs), over finished runs"
    ]
    if any(run.state == "pruned" for run in sweep.runs):
        sentences.append("pruned runs have no final loss, so only the better part of the sweep is seen here")
    if sweep.metric is None:
        sentences.append("the study recorded no metric beside its loss, so only the loss is told")
    if not any(rung.loss for rung in found):
        sentences.append("too few runs kept their plain losses at these rungs, so only the metric is told")
    table = Table("by rung", ("evaluation", "step", "loss there", f"{sweep.metric or 'metric'} there"), rows)
    return Section("correlations", title, tuple(sentences), (table,), figures.correlations(found, sweep.metric))


def shape_section(sweep: Sweep) -> Section:
    """The best runs' curves."""
    title = "Shape of the best runs' curves"
    found = shape(sweep)
    if isinstance(found, Missing):
        return missing("shape", title, found)
    what = "log loss" if found.logarithmic else "loss"
    rows = tuple(
        (
            name,
            f"{100 * best.share:.0f}%",
            *map(or_dash, (best.slope, other.slope, best.curvature, other.curvature)),
        )
        for name, best, other in zip(PHASES, found.best, found.others, strict=True)
    )
    told = "where the rate rises" if found.warmup_known else "supposed, as nobody knows"
    sentence = (
        f"medians over the best {runs_text(len(found.best_runs))} and the other {len(found.other_runs)}; slope of "
        f"{what} per whole run and its second derivative (above 0: flattening); warm-up: the first "
        f"{100 * found.warmup:.0f}% of a run, {told}; the fall ends with {100 * FALLEN:.0f}% of the way down"
    )
    header = ("phase", "share of run", "slope, best", "others", "curvature, best", "others")
    return Section("shape", title, (sentence,), (Table("by phase", header, rows),), figures.shape(found))


def stability_section(sweep: Sweep) -> Section:
    """The runs against the edge of stability."""
    title = "The edge of stability"
    found = stabilities(sweep)
    if isinstance(found, Missing):
        return missing("stability", title, found)
    rows = tuple(
        (
            str(one.run.number),
            number(one.run.loss) if one.run.loss is not None else one.run.state,
            *map(or_dash, (one.sharpness, one.ratio, one.highest, one.alignment)),
            one.where,
        )
        for one in found[:SHOWN]
    )
    sentences = [
        f"curvature was recorded in {runs_text(len(found))}; the ratio of the sharpness to what the optimizer bears is "
        f"1 on the edge; medians over the second half of a run; on it: {EDGE[0]:g} to {EDGE[1]:g}"
    ]
    if len(found) > SHOWN:
        sentences.append(f"the first {SHOWN} are shown, the best before the others")
    first = found[0].run
    sentences.append(f"drawn: trial {first.number}{', the best' if first is sweep.best else ''}")
    header = ("trial", sweep.judged_by, "sharpness", "ratio", "highest ratio", "|alignment|", "edge")
    figure = curvature_figure(first.curvature, first.train_losses, "training, the mean between evaluations")
    return Section("stability", title, tuple(sentences), (Table("by run", header, rows),), figure)
