"""README.md and the figures of this folder, from the raw rows alone; what is not measured yet says so."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from benchmarks import rows
from benchmarks.edge_sweep import margins, text
from benchmarks.edge_sweep.findings import Evidence, Foresight, Mean, Replayed, Swept
from benchmarks.edge_sweep.setting import HERE, LOSS, RANGES, RUNGS, RUNS, SEEN, SUBJECTS, TRIALS, USUAL_KAPPA, Point
from benchmarks.edge_sweep.verdict import blown_words, margin_words, short, verdict
from flatdirs.backend.pruning import SEEDS_PER_JITTER

COMMAND = "python -m benchmarks.edge_sweep"
SYMBOLS = {"learning_rate": "λ", "one_minus_beta1": "1−β₁", "weight_decay": "α"}
NOT_YET = "Not measured yet."
FIRST_POINTS = 10  # of a sweep, drawn before TPE looks at anything


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
    """A row a rule and what it was shown."""
    if not found:
        return [NOT_YET]
    lines = [
        f"{sweeps_words(found)}",
        "",
        "| rule | shown | evaluations saved | best run stopped | final loss above the unpruned sweep's | … above an unpruned sweep's for as much | "
        "… of the run that it calls the best | survivors shared with the loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
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
    """A row for each first comparison, unit and margin."""
    found = {(o.subject, o.order, o.first, o.unit, o.margin): o for o in margins.read(evidence.folder)}
    if not found:
        return [NOT_YET]
    columns = [(name, order) for name in SUBJECTS for order in margins.ORDERS]
    heads = " | ".join(f"{name}, {order}: saved | winner stopped" for name, order in columns)
    lines = [
        *margin_notes(evidence),
        "",
        f"| from | unit | margin | {heads} |",
        "|---|---|---|" + "---|---|" * len(columns),
    ]
    for first, unit, margin in sorted({key[2:] for key in found}, key=lambda key: (key[0], key[1] != "seeds", key[2])):
        cells = []
        for name, order in columns:
            one = found.get((name, order, first, unit, margin))
            cells += [f"{one.saved:.0%}", f"{one.lost:.1%}"] if one else ["–", "–"]
        lines += [f"| {first} | {UNIT_WORDS[unit]} | {margin:g} | {' | '.join(cells)} |"]
    return [*lines, "", margin_words(evidence)]


UNIT_WORDS = {"seeds": "seeds", "jitter": f"{SEEDS_PER_JITTER:g} jitters"}


def margin_notes(evidence: Evidence) -> list[str]:
    """What the searches were made of."""
    lines = []
    for name in SUBJECTS:
        known = [row for row in rows.read(evidence.folder / "margins.csv") if row["subject"] == name]
        if known:
            one = known[0]
            ratio = (
                f"; seeds differ by {one['per_jitter']} jitters of the best run's curve at its end"
                if one["per_jitter"]
                else ""
            )
            lines += [
                f"{name}: {one['searches']} searches of each kind over {one['recorded']} runs; a walk's median stride is {one['stride']} octaves{ratio}."
            ]
    return lines


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
            "| shown | lowest final loss, each | less that of the loss | … for as many evaluations | winner trained anew, each | less that of the loss | the run that it calls the best, less the loss's | evaluations | survivors |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for seen in SEEN:
            found = [whole[seen, number] for number in numbers]
            spent = statistics.fmean(sweep.evaluations for sweep in found)
            kept = statistics.fmean(len(sweep.survivors) for sweep in found)
            gaps = {
                what: gap_words(evidence, subject, seen, what) for what in ("best", "as_much", "confirmed", "picked")
            }
            each = {what: each_words(evidence.ends(subject, seen, what)) for what in ("best", "confirmed")}
            cells = [each["best"], gaps["best"], gaps["as_much"], each["confirmed"], gaps["confirmed"], gaps["picked"]]
            lines += [f"| {shown_words(seen)} | {' | '.join(cells)} | {spent:.0f} | {kept:.1f} |"]
        lines += [""]
    return lines[:-1]


def each_words(values: list[float]) -> str:
    """One number a repetition; a dash where it is not there."""
    return ", ".join(f"{value:.4f}" if math.isfinite(value) else "–" for value in values)


def gap_words(evidence: Evidence, subject: str, seen: str, what: str) -> str:
    """The mean of the paired differences, Student's interval and the bootstrap's, and how often it is below 0."""
    value = None if seen == LOSS else evidence.difference(subject, seen, what)
    if value is None:
        return "–"
    (low, high), (least, most) = value.interval, value.bootstrap
    return (
        f"{value.mean:+.4f} [{low:+.4f}, {high:+.4f}], bootstrap [{least:+.4f}, {most:+.4f}], "
        f"lower in {value.lower} of {value.count}{blown_words(value)}"
    )


def survivor_part(evidence: Evidence) -> list[str]:
    """Which runs survive, by what was shown: of the points that all sweeps of a repetition begin with, and where all lie."""
    lines = ["", "### Which survivors differ", "", *text.SURVIVORS, ""]
    for subject in SUBJECTS:
        numbers, whole = evidence.repetitions(subject), evidence.sweeps(subject)
        if not numbers:
            lines += [f"**{subject}**: {NOT_YET.lower()}", ""]
            continue
        plain = set[tuple[int, Point]]().union(*(first_kept(whole[LOSS, number]) for number in numbers))
        symbols = " | ".join(f"median {symbol}" for symbol in SYMBOLS.values())
        lines += [
            f"**{subject}**, of {FIRST_POINTS * len(numbers)} points that begin the sweeps:",
            "",
            f"| shown | kept | by the loss too | by the loss alone | by this alone | {symbols} | median final loss |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for seen in SEEN:
            found = [whole[seen, number] for number in numbers]
            first = set[tuple[int, Point]]().union(*(first_kept(sweep) for sweep in found))
            kept = [curve for sweep in found for curve in sweep.survivors]
            counts = [len(first), len(first & plain), len(plain - first), len(first - plain)]
            medians = [f"{middle([getattr(curve.point, name) for curve in kept]):.2g}" for name in RANGES]
            ends = f"{middle([curve.final for curve in kept]):.4f}"
            lines += [f"| {shown_words(seen)} | {' | '.join(map(str, counts))} | {' | '.join(medians)} | {ends} |"]
        lines += [""]
    return lines[:-1]


def first_kept(sweep: Swept) -> set[tuple[int, Point]]:
    """The survivors among the points that do not depend on what was shown."""
    return {(sweep.repetition, curve.point) for curve in sweep.curves[:FIRST_POINTS] if curve.finished}


def middle(values: list[float]) -> float:
    """The median, nan of nothing."""
    return statistics.median(values) if values else math.nan


def signed(value: Mean | None) -> str:
    """A difference with its standard error."""
    if value is None:
        return "–"
    error = f" ± {value.error:.4f}" if value.count > 1 else ""
    return f"{value.value:+.4f}{error}"


def readme_blocks(folder: Path = HERE) -> dict[str, str]:
    """What README.md quotes: whether the metric earns its place."""
    said = "\n".join(short(Evidence(folder)))
    return {"edge-sweep": f"{said}\nBy `{COMMAND}` ([all of it](benchmarks/edge_sweep/README.md))."}
