"""What an analysis shows of the course of training: gradients, early knowledge, loss curves, edge of stability."""

from __future__ import annotations

from collections.abc import Sequence

from flatdirs.analysis.correlation import LEVEL, Rung
from flatdirs.analysis.curve_shape import FALLEN, PHASES, Shape
from flatdirs.analysis.edge_of_stability import AT_EDGE, Stability
from flatdirs.analysis.gradient_norms import SPIKE, THIN, WINDOW, GradientNorms
from flatdirs.analysis.sweep import Sweep
from flatdirs.backend.table_rows import counted
from flatdirs.curvature.figure import curvature_figure
from flatdirs.report import analysis_figures as figures
from flatdirs.report.analysis_text import Content, correlation_text, or_dash, span_text
from flatdirs.report.sections import Table
from flatdirs.report.tables import number

SHOWN = 10  # runs in the table of the edge of stability


def gradients(found: GradientNorms) -> Content:
    rows = [
        (
            span_text((one.low, one.high)),
            f"{one.steps}{' (thin)' if one.thin else ''}",
            number(one.median),
            span_text((one.lower, one.upper)),
            f"{100 * one.spikes:.1f}%",
        )
        for one in found.bins
    ]
    sentences = [
        f"{found.steps} recorded steps of {counted(found.runs)}; {100 * found.spikes:.2f}% of them are spikes: their "
        f"gradient norm is above {SPIKE:g} times the median of the {WINDOW} recorded steps around them",
        f"long runs record every nth step only; bins with fewer than {THIN} steps are thin, and not reliable",
    ]
    if found.left_out:
        sentences.append(f"{found.left_out} steps without a finite gradient norm and a learning rate above 0: left out")
    table = Table("by learning rate", ("lr", "steps", "median norm", "quartiles", "spikes"), rows)
    return sentences, [table], figures.gradients(found)


def correlations(found: Sequence[Rung], sweep: Sweep) -> Content:
    rows = [
        (str(rung.evaluation), str(rung.step), correlation_text(rung.loss), correlation_text(rung.metric))
        for rung in found
    ]
    sentences = [
        f"rank correlation (Spearman) with the final loss over the finished runs, [{LEVEL}% bootstrap interval] (runs)"
    ]
    if any(run.state == "pruned" for run in sweep.runs):
        sentences.append("pruned runs have no final loss, so the correlations are those of the better runs alone")
    if sweep.metric is None:
        sentences.append("the study recorded no metric besides its loss")
    if not any(rung.loss for rung in found):
        sentences.append("too few runs recorded their loss at these evaluations")
    table = Table("by evaluation", ("evaluation", "step", "loss there", f"{sweep.metric or 'metric'} there"), rows)
    return sentences, [table], figures.correlations(found, sweep.metric)


def curve_shape(found: Shape) -> Content:
    rows = [
        (name, f"{100 * best.share:.0f}%", *map(or_dash, (best.slope, other.slope, best.curvature, other.curvature)))
        for name, best, other in zip(PHASES, found.best, found.others, strict=True)
    ]
    known = "while the learning rate rises" if found.warmup_known else "assumed, because no learning rate was recorded"
    sentences = [
        f"medians over the best {counted(len(found.best_runs))} and the other {len(found.other_runs)}: slope of "
        f"{'log loss' if found.logarithmic else 'loss'} per whole run, and its second derivative (positive where the "
        f"curve flattens out)",
        f"warm-up: the first {100 * found.warmup:.0f}% of a run ({known}); fall: until {100 * FALLEN:.0f}% of the way "
        f"to the lowest loss",
    ]
    header = ("phase", "share of run", "slope, best", "others", "curvature, best", "others")
    return sentences, [Table("by phase", header, rows)], figures.curve_shape(found)


def edge_of_stability(found: Sequence[Stability], sweep: Sweep) -> Content:
    rows = [
        (
            str(one.run.number),
            number(one.run.loss) if one.run.loss is not None else one.run.state,
            *map(or_dash, (one.sharpness, one.ratio, one.highest, one.alignment)),
            one.where,
        )
        for one in found[:SHOWN]
    ]
    first = found[0].run
    sentences = [
        f"{counted(len(found))} recorded curvature; the ratio is the sharpness over the largest one that the optimizer "
        f"tolerates, and {AT_EDGE[0]:g} to {AT_EDGE[1]:g} counts as at the edge; medians over the second half of a run",
        *([f"the table shows {SHOWN} of them, the best first"] if len(found) > SHOWN else []),
        f"the figure shows {sweep.word} {first.number}{', the best' if first is sweep.best else ''}",
    ]
    header = (sweep.word, sweep.loss_name, "sharpness", "ratio", "highest ratio", "|alignment|", "edge")
    figure = curvature_figure(first.curvature, first.train_losses, "training, the mean between evaluations")
    return sentences, [Table("by run", header, rows)], figure
