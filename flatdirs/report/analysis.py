"""The analysis of a sweep as sections of a report: results of flatdirs/sweep/ → sentences, tables, figures.

Each part says in a sentence what it counts and, where it has too little to go on, what is missing. Figures are drawn in
analysis_figures.py; numbers come from the pure functions alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flatdirs.analysis.clusters import STRUCTURE, clusters
from flatdirs.analysis.correlation import quadrants
from flatdirs.analysis.divergence import divergence
from flatdirs.analysis.exploration import exploration
from flatdirs.analysis.importance import Importance, importances
from flatdirs.analysis.range_checks import edges, uniform_rates
from flatdirs.analysis.records import Missing, Sweep
from flatdirs.report import analysis_figures as figures
from flatdirs.report.analysis_words import (
    correlation_text,
    left_out_sentences,
    missing,
    or_dash,
    runs_text,
    settings_text,
    span_text,
)
from flatdirs.report.continuation import continuation
from flatdirs.report.sections import Section, Table
from flatdirs.report.tables import number
from flatdirs.report.within_runs import correlation_section, gradients_section, shape_section, stability_section

FEW = 5  # diverged runs


def sections(
    sweep: Sweep, rungs: Sequence[int] = (), seed: int = 0, output: Path = Path("studies")
) -> tuple[Section, ...]:
    """All of the analysis, in the order in which it is read. `output`: the folder a continuation would write to."""
    return (
        summary_section(sweep, output),
        gradients_section(sweep),
        correlation_section(sweep, rungs, seed),
        quadrants_section(sweep),
        clusters_section(sweep, seed),
        exploration_section(sweep),
        shape_section(sweep),
        stability_section(sweep),
        importance_section(sweep, seed),
        divergence_section(sweep),
    )


def summary_section(sweep: Sweep, output: Path) -> Section:
    """How many runs, the best, and what its ranges should have been."""
    count = {state: sum(run.state == state for run in sweep.runs) for state in ("finished", "pruned", "diverged")}
    told = ", ".join(f"{n} {state}" for state, n in count.items())
    sentences = [f"{runs_text(len(sweep.runs))}: {told}; loss below is the {sweep.judged_by}, lower is better"]
    if sweep.best is not None:
        place = settings_text(sweep.best.hyperparameters)
        words = [f"trial {sweep.best.number}", f"value {number(sweep.best.value or 0)}", *([place] if place else [])]
        sentences.append(f"best: {', '.join(words)}")
    sentences += [f"warning: {sentence}" for sentence in uniform_rates(sweep)]
    if found := edges(sweep):
        where = " and ".join(
            f"at the {'top' if edge.at_top else 'bottom'} of {edge.range.name}'s range [{edge.range.low:.4g}, "
            f"{edge.range.high:.4g}] ({edge.value:.4g})"
            for edge in found
        )
        sentences += [f"warning: the best run lies {where}; on a wider range:", continuation(sweep, found, output)]
    return Section("summary", f"Study {sweep.name}", tuple(sentences))


def quadrants_section(sweep: Sweep) -> Section:
    """Survivors by loss and metric."""
    title = "Survivors by loss and metric"
    found = quadrants(sweep)
    if isinstance(found, Missing):
        return missing("quadrants", title, found)
    rows = tuple(
        (
            f"loss {'low' if one.low_loss else 'high'}, {sweep.metric} {'low' if one.low_metric else 'high'}",
            str(len(one.runs)),
            settings_text(one.centre) if one.runs else "—",
        )
        for one in found.quadrants
    )
    sentence = (
        f"low is at or below the median: loss {number(found.median_loss)}, {sweep.metric} "
        f"{number(found.median_metric)}; centres are means in logarithms"
    )
    table = Table("quadrants", ("quadrant", "runs", "centre"), rows)
    return Section("quadrants", title, (sentence,), (table,), figures.quadrants(found, sweep))


def clusters_section(sweep: Sweep, seed: int) -> Section:
    """Where the survivors live."""
    title = "Clusters of the survivors"
    found = clusters(sweep, seed)
    if isinstance(found, Missing):
        return missing("clusters", title, found)
    rows = tuple(
        (
            str(i),
            str(len(one.runs)),
            number(one.loss),
            number(one.best),
            f"{one.spread:.2f}",
            settings_text(one.centre),
        )
        for i, one in enumerate(found.clusters, start=1)
    )
    sentences = [
        f"k-means in octaves of {', '.join(found.names)}; {len(found.clusters)} clusters have the highest silhouette, "
        f"{found.silhouette:.2f}; up to {max(found.silhouettes)} were tried"
    ]
    if not found.clear:
        sentences.append(f"runs spread evenly have silhouettes below {STRUCTURE:g} too, so these may be no clusters")
    header = ("cluster", "runs", "median loss", "lowest", "spread, octaves", "centre")
    tables = (Table("clusters by median loss", header, rows),)
    return Section(
        "clusters", title, (*sentences, *left_out_sentences(found.left_out)), tables, figures.clusters(found)
    )


def exploration_section(sweep: Sweep) -> Section:
    """Exploration against exploitation."""
    title = "Exploration against exploitation"
    found = exploration(sweep)
    if isinstance(found, Missing):
        return missing("exploration", title, found)
    rows = tuple(
        (f"{q.first} – {q.last}" if q.first < q.last else str(q.first), f"{q.novelty:.2f}", or_dash(q.to_best))
        for q in found.quarters
    )
    sentences = [
        f"medians, in octaves over {', '.join(found.names)}: how far a run lies from the nearest earlier one, and from "
        f"the best before it; near the best is exploitation, far from everything exploration"
    ]
    trend = found.narrowing
    if trend is not None and trend.high < 0:
        sentences.append(f"the search narrows: distance to the best falls with time, {correlation_text(trend)}")
    elif trend is not None:
        word = "widens" if trend.low > 0 else "neither narrows nor widens for sure"
        sentences.append(f"the search {word}: distance to the best against time, {correlation_text(trend)}")
    table = Table("over time", ("runs", "to the nearest earlier", "to the best so far"), rows)
    return Section("exploration", title, tuple(sentences), (table,), figures.exploration(found))


def importance_section(sweep: Sweep, seed: int) -> Section:
    """What mattered."""
    title = "Importance of each hyperparameter"
    found = importances(sweep, seed)
    if isinstance(found, Missing):
        return missing("importance", title, found)
    sentences = [
        f"shares among the {runs_text(found.runs)} that finished; PED-ANOVA: for being among the "
        f"best {round(found.top * found.runs)}; fANOVA: for the loss as a whole; in logarithms, over what they span"
    ]
    tables = [_importance_table("hyperparameters", found.raw)]
    if found.flat is not None:
        tables.append(_importance_table("flat coordinates", found.flat))
    else:
        sentences.append("no chart fits the hyperparameters searched, so there are no flat coordinates")
    sentences += left_out_sentences(found.left_out)
    return Section("importance", title, tuple(sentences), tuple(tables), figures.importance(found))


def _importance_table(title: str, found: Importance) -> Table:
    fanova: Mapping[str, float] = found.fanova or {}
    rows = tuple((name, f"{share:.2f}", or_dash(fanova.get(name))) for name, share in found.ped_anova.items())
    return Table(title, ("coordinate", "PED-ANOVA", "fANOVA"), rows)


def divergence_section(sweep: Sweep) -> Section:
    """Where runs diverge."""
    title = "The diverged region"
    found = divergence(sweep)
    if isinstance(found, Missing):
        return missing("divergence", title, found)
    sentences = [f"{found.diverged} of {runs_text(len(sweep.runs))} diverged; lowest and highest of each coordinate"]
    if found.thresholds:
        best = found.thresholds[0]
        side = "above" if best.above else "below"
        sentences.append(
            f"{best.coordinate} parts them best: {side} {number(best.value)} runs diverge, wrong for {best.wrong} of "
            f"{found.diverged + found.survivors} (area under the ROC curve {best.auc:.3f})"
        )
        if found.diverged < FEW:
            sentences.append(f"with fewer than {FEW} diverged runs a coordinate can part them by chance")
    else:
        sentences.append("no run finished to compare them with")
    area = {one.coordinate: f"{one.auc:.3f}" for one in found.thresholds}
    tables = tuple(
        Table(
            name,
            ("coordinate", "diverged", "survivors", "AUC"),
            tuple((key, span_text(bad), span_text(good), area.get(key, "—")) for key, (bad, good) in spans.items()),
        )
        for name, spans in (("hyperparameters", found.raw), ("flat coordinates", found.flat))
        if spans
    )
    return Section("divergence", title, tuple(sentences), tables, figures.divergence(found, sweep))
