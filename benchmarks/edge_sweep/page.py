"""README.md and the figures of this folder, from the raw rows alone; what is not measured yet says so."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from benchmarks.edge_sweep import text
from benchmarks.edge_sweep.findings import Evidence, Foresight, Mean, Replayed, margins
from benchmarks.edge_sweep.setting import HERE, LOSS, RANGES, RUNGS, RUNS, SEEN, SUBJECTS, TRIALS, USUAL_KAPPA
from benchmarks.edge_sweep.verdict import margin_words, trained_words, verdict

COMMAND = "python -m benchmarks.edge_sweep"
SYMBOLS = {"learning_rate": "λ", "one_minus_beta1": "1−β₁", "weight_decay": "α"}
NOT_YET = "Not measured yet."


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.edge_sweep.figures import picture

    evidence = Evidence(folder)
    known = [name for name in SUBJECTS if any(curve.finished for curve in evidence.recorded(name))]
    return {"README.md": draw(evidence), **{f"{name}.png": picture(evidence, name) for name in known}}


def draw(evidence: Evidence) -> str:
    """The whole page."""
    ranges = ", ".join(f"{SYMBOLS[name]} from {low:g} to {high:g}" for name, (low, high) in RANGES.items())
    lines = [
        "# Does the edge-of-stability metric earn its place, and do the pruners?",
        "",
        f"Drawn from the `.csv` files here, which `{COMMAND}` measured; the same command goes on where it stopped.",
        "",
        *verdict(evidence),
        "",
        "## What is trained",
        "",
        *(line.format(ranges=ranges) for line in text.TRAINED),
        "",
    ]
    for subject in SUBJECTS:
        lines += [*recorded_part(evidence, subject), ""]
    lines += ["## What a rung knows of the end", "", *text.FORESIGHT, ""]
    for subject in SUBJECTS:
        lines += [f"### {subject}", "", *foresight_table(evidence.foresight(subject)), ""]
    lines += ["## Every pruner on the recorded runs", "", *text.REPLAYS, ""]
    for subject in SUBJECTS:
        lines += [f"### {subject}", "", *replay_table(evidence.replays(subject)), ""]
    lines += ["## The margin of the incumbent", "", *text.MARGINS, "", *margin_table(evidence), ""]
    lines += ["## The same sweep, shown the loss or the metric", "", *text.SWEEPS, "", *sweep_table(evidence), ""]
    return "\n".join([*lines, *survivor_part(evidence)]) + "\n"


def recorded_part(evidence: Evidence, subject: str) -> list[str]:
    """What was recorded of a subject."""
    found = evidence.recorded(subject)
    if not found:
        return [f"**{subject}**: {NOT_YET.lower()}"]
    finished = [curve for curve in found if curve.finished]
    if not finished:
        return [f"**{subject}**: {len(found)} of {RUNS} runs recorded, all of them diverged."]
    best = min(found, key=lambda curve: curve.final)
    point = ", ".join(f"{SYMBOLS[name]} {getattr(best.point, name):.3g}" for name in RANGES)
    spread = evidence.seeds_spread(subject)
    seeds = (
        "The best points have not been trained with other seeds yet."
        if spread is None
        else f"Over seeds, a point's final loss has a standard deviation of {spread.value:.4f} (the best {spread.count} points)."
    )
    seconds = statistics.median(curve.seconds for curve in found)
    return [
        f"**{subject}**: {len(found)} of {RUNS} runs recorded, {len(found) - len(finished)} of them diverged. The best ends at "
        f"{best.final:.4f} ({point}), the median at {statistics.median(curve.final for curve in finished):.4f}. {seeds} "
        f"Median {seconds:.0f} s a run, on a machine that had other work.",
        "",
        f"![final losses, and rank correlations]({subject}.png)",
    ]


def foresight_table(found: list[Foresight]) -> list[str]:
    """A row for the loss and for each variant and κ."""
    if not found:
        return [NOT_YET]
    rungs = " | ".join(f"at {rung}" for rung in RUNGS)
    lines = [
        f"| shown | {rungs} | better half, {' | '.join(map(str, RUNGS))} | best tenth kept, {' | '.join(map(str, RUNGS))} |"
    ]
    lines += ["|---|" + "---|" * (3 * len(RUNGS))]
    for one in found:
        cells = [f"{value:+.2f}" for value in (*one.whole, *one.better)] + [f"{share:.0%}" for share in one.kept]
        lines += [f"| {shown_words(one.seen)} | {' | '.join(cells)} |"]
    return lines


def shown_words(seen: str) -> str:
    """What was shown, in words."""
    variant, _, kappa = seen.partition("@")
    return variant if variant == LOSS else f"{variant}, κ {kappa or f'{USUAL_KAPPA:g}'}"


def replay_table(found: list[Replayed]) -> list[str]:
    """A row a rule and what it was shown; the incumbent's margins have a table of their own."""
    kept = [one for one in found if not one.rule.startswith("incumbent")]
    if not kept:
        return [NOT_YET]
    lines = [
        f"{sweeps_words(kept)}",
        "",
        "| rule | shown | evaluations saved | best run stopped | final loss above the unpruned sweep's | … above an unpruned sweep's for as much | "
        "… of the run that it calls the best | survivors shared with the loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in kept:
        cells = [one.rule, "–" if one.rule == "none" else shown_words(one.seen), f"{one.saved:.0%}", f"{one.lost:.0%}"]
        cells += [signed(value) for value in (one.worse, one.than_as_much, one.picked)]
        lines += [f"| {' | '.join([*cells, f'{one.shared:.0%}'])} |"]
    return lines


def sweeps_words(found: list[Replayed]) -> str:
    """How many sweeps stand behind a table."""
    numbers = sorted({one.sweeps for one in found})
    recorded = sorted({one.recorded for one in found})
    orders, runs = (" or ".join(map(str, values)) for values in (numbers, recorded))
    return f"Over {orders} random orders of {runs} recorded runs."


def margin_table(evidence: Evidence) -> list[str]:
    """A row a margin."""
    tables = {subject: margins(evidence.replays(subject)) for subject in SUBJECTS}
    known = sorted({margin for table in tables.values() for margin in table})
    if not known:
        return [NOT_YET]
    heads = " | ".join(f"{name}: saved | best run stopped | final loss above" for name in SUBJECTS)
    lines = [f"| margin | {heads} |", "|---|" + "---|---|---|" * len(SUBJECTS)]
    for margin in known:
        cells = []
        for table in tables.values():
            one = table.get(margin)
            cells += [f"{one.saved:.0%}", f"{one.lost:.0%}", signed(one.worse)] if one else ["–", "–", "–"]
        lines += [f"| {margin:g} | {' | '.join(cells)} |"]
    return [*lines, "", margin_words(evidence)]


def sweep_table(evidence: Evidence) -> list[str]:
    """What the sweeps that trained end with."""
    lines = []
    for subject in SUBJECTS:
        numbers, whole = evidence.repetitions(subject), evidence.sweeps(subject)
        trained = evidence.trials_trained(subject)
        if not numbers:
            said = f"{trained} trials trained, no repetition whole yet." if trained else NOT_YET.lower()
            lines += [f"**{subject}**: {said}", ""]
            continue
        repeated = "1 repetition" if len(numbers) == 1 else f"{len(numbers)} repetitions"
        lines += [
            f"**{subject}**: {repeated} of {TRIALS} trials.",
            "",
            "| shown | lowest final loss, each | less that of the loss | the run that it calls the best, less that of the loss | evaluations | survivors |",
            "|---|---|---|---|---|---|",
        ]
        for seen in SEEN:
            found = [whole[seen, number] for number in numbers]
            each = ", ".join(f"{sweep.best:.4f}" for sweep in found)
            spent = statistics.fmean(sweep.evaluations for sweep in found)
            kept = statistics.fmean(len(sweep.survivors) for sweep in found)
            gaps = [signed(evidence.difference(subject, seen, what)) for what in ("best", "picked")]
            lines += [f"| {shown_words(seen)} | {each} | {' | '.join(gaps)} | {spent:.0f} | {kept:.1f} |"]
        lines += [""]
    return lines[:-1]


def survivor_part(evidence: Evidence) -> list[str]:
    """Which runs survive, by what was shown: their rates, and the ten points that all sweeps of a repetition begin with."""
    lines = []
    for subject in SUBJECTS:
        numbers, whole = evidence.repetitions(subject), evidence.sweeps(subject)
        if not numbers:
            continue
        parts = []
        for seen in SEEN:
            found = [whole[seen, number] for number in numbers]
            rates = [curve.point.learning_rate for sweep in found for curve in sweep.survivors]
            first = {(s.repetition, c.point) for s in found for c in s.curves[:10] if c.finished}
            plain = {(n, c.point) for n in numbers for c in whole[LOSS, n].curves[:10] if c.finished}
            again = f", {len(first & plain)} of them also with the loss" if seen != LOSS else ""
            parts += [
                f"{shown_words(seen)} keeps {len(first)} of the first {10 * len(numbers)} points{again}; its survivors' median λ is {statistics.median(rates or [math.nan]):.2g}"
            ]
        lines += [f"{subject}: {'. '.join(parts)}."]
    return lines


def signed(value: Mean | None) -> str:
    """A difference with its standard error."""
    if value is None:
        return "–"
    error = f" ± {value.error:.4f}" if value.count > 1 else ""
    return f"{value.value:+.4f}{error}"


def readme_blocks(folder: Path = HERE) -> dict[str, str]:
    """What README.md quotes: whether the metric earns its place."""
    said = trained_words(Evidence(folder))
    return {"edge-sweep": f"{said} By `{COMMAND}` ([all of it](benchmarks/edge_sweep/README.md))."}
