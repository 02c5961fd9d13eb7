"""What an analysis shows of the set of runs: quadrants, clusters, exploration, importance, divergence."""

from __future__ import annotations

from collections.abc import Mapping

from flatdirs.analysis.clusters import STRUCTURE, Clusters
from flatdirs.analysis.correlation import Quadrants
from flatdirs.analysis.diverged_runs import Divergence
from flatdirs.analysis.exploration import Exploration
from flatdirs.analysis.importance import Importance, Importances
from flatdirs.analysis.sweep import Sweep
from flatdirs.backend.table_rows import counted
from flatdirs.report import analysis_figures as figures
from flatdirs.report.analysis_text import (
    Content,
    correlation_text,
    left_out_sentences,
    or_dash,
    settings_text,
    span_text,
)
from flatdirs.report.sections import Table
from flatdirs.report.tables import number

FEW = 5  # diverged runs


def quadrants(found: Quadrants, sweep: Sweep) -> Content:
    rows = [
        (
            f"loss {'low' if one.low_loss else 'high'}, {sweep.metric} {'low' if one.low_metric else 'high'}",
            str(len(one.runs)),
            settings_text(one.centre) if one.runs else "—",
        )
        for one in found.quadrants
    ]
    sentence = (
        f"low: at or below the median, which is {number(found.median_loss)} for the final loss and "
        f"{number(found.median_metric)} for the last {sweep.metric}; centres are geometric means"
    )
    return [sentence], [Table("quadrants", ("quadrant", "runs", "centre"), rows)], figures.quadrants(found, sweep)


def clusters(found: Clusters) -> Content:
    rows = [
        (str(i), str(len(one.runs)), *map(number, (one.loss, one.best)), f"{one.spread:.2f}", settings_text(one.centre))
        for i, one in enumerate(found.clusters, start=1)
    ]
    sentences = [
        f"k-means in log2 of {', '.join(found.names)}; of up to {max(found.silhouettes)} clusters, "
        f"{len(found.clusters)} have the highest silhouette, {found.silhouette:.2f}"
    ]
    if not found.clear:
        sentences.append(
            f"a silhouette below {STRUCTURE:g} is found in evenly spread runs too: these may be no clusters"
        )
    header = ("cluster", "runs", "median loss", "lowest", "spread, doublings", "centre")
    sentences += left_out_sentences(found.left_out)
    return sentences, [Table("clusters by median loss", header, rows)], figures.clusters(found)


def exploration(found: Exploration) -> Content:
    rows = [
        (f"{q.first} – {q.last}" if q.first < q.last else str(q.first), f"{q.nearest:.2f}", or_dash(q.to_best))
        for q in found.quarters
    ]
    sentences = [
        f"median distances of a run to the nearest earlier run and to the best run before it, in doublings of "
        f"{', '.join(found.names)}; far from both is exploration, close to the best is exploitation"
    ]
    if (trend := found.narrowing) is not None:
        word = "narrows" if trend.high < 0 else "widens" if trend.low > 0 else "neither clearly narrows nor widens"
        sentences.append(
            f"the search {word}: rank correlation of the distance to the best with time {correlation_text(trend)}"
        )
    table = Table("over time", ("runs", "to the nearest earlier", "to the best so far"), rows)
    return sentences, [table], figures.exploration(found)


def importance(found: Importances) -> Content:
    sentences = [
        f"shares of importance over the {counted(found.runs)} that finished: PED-ANOVA for being among the best "
        f"{round(found.top * found.runs)}, fANOVA for the loss; on a logarithmic scale, in the range of these runs"
    ]
    tables = [_importance_table("hyperparameters", found.raw)]
    if found.chart is not None:
        tables.append(_importance_table("chart coordinates", found.chart))
    else:
        sentences.append("no chart has these hyperparameters, so there are no chart coordinates")
    sentences += [found.lacking] if found.lacking else []
    return [*sentences, *left_out_sentences(found.left_out)], tables, figures.importance(found)


def _importance_table(title: str, found: Importance) -> Table:
    fanova: Mapping[str, float] = found.fanova or {}
    rows = [(name, f"{share:.2f}", or_dash(fanova.get(name))) for name, share in found.ped_anova.items()]
    return Table(title, ("coordinate", "PED-ANOVA", "fANOVA"), rows)


def divergence(found: Divergence, sweep: Sweep) -> Content:
    sentences = [
        f"{found.diverged} of {counted(len(sweep.runs))} diverged; the tables show the lowest and highest value of "
        f"each coordinate, and the area under the ROC curve (AUC)"
    ]
    if found.thresholds:
        best = found.thresholds[0]
        sentences.append(
            f"{best.coordinate} separates them best: runs {'above' if best.above else 'below'} {number(best.value)} "
            f"diverge, wrong for {best.wrong} of {found.diverged + found.finished} (AUC {best.auc:.3f})"
        )
        if found.diverged < FEW:
            sentences.append(f"with fewer than {FEW} diverged runs this may be chance")
    else:
        sentences.append("no run finished to compare them with")
    auc = {one.coordinate: f"{one.auc:.3f}" for one in found.thresholds}
    tables = [
        Table(
            title,
            ("coordinate", "diverged", "finished", "AUC"),
            [(name, span_text(bad), span_text(good), auc.get(name, "—")) for name, (bad, good) in spans.items()],
        )
        for title, spans in (("hyperparameters", found.raw), ("chart coordinates", found.chart))
        if spans
    ]
    return sentences, tables, figures.divergence(found, sweep)
