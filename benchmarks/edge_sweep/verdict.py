"""The sentences that say whether metric and pruners earn their place, computed from the rows; the bars were set before."""

from __future__ import annotations

from benchmarks.edge_sweep.findings import (
    ERRORS,
    LEAST_REPETITIONS,
    LEAST_REPLAYED,
    RISK,
    Evidence,
    Mean,
    margins,
    mean,
    safe_margin,
    usual_margin,
)
from benchmarks.edge_sweep.setting import LOSS, SUBJECTS, TRIALS, VARIANTS

Decided = dict[tuple[str, str], Mean | None]


def verdict(evidence: Evidence) -> list[str]:
    """A heading and a list of sentences."""
    return [
        "## The verdict",
        "",
        f"- {trained_words(evidence)}",
        *(f"- {replayed_words(evidence, subject)}" for subject in SUBJECTS),
        *(f"- {pruning_words(evidence, subject)}" for subject in SUBJECTS),
    ]


def trained_words(evidence: Evidence) -> str:
    """Whether sweeps that train end lower with the metric than with the loss."""
    counts = {subject: len(evidence.repetitions(subject)) for subject in SUBJECTS}
    told = ", ".join(f"{subject} {count}" for subject, count in counts.items())
    if min(counts.values()) < LEAST_REPETITIONS:
        return (
            f"**Whether the metric earns its place is not decided yet**: the sweeps that train ({TRIALS} trials each) have "
            f"whole repetitions for {told}, and {LEAST_REPETITIONS} of each are wanted."
        )
    decided: Decided = {(s, v): evidence.difference(s, v) for s in SUBJECTS for v in VARIANTS}
    earning = [variant for variant in VARIANTS if earns([decided[subject, variant] for subject in SUBJECTS])]
    each = "; ".join(f"{subject}, {variant} {words(value)}" for (subject, variant), value in decided.items())
    head = (
        f"**The metric earns its place as {' and as '.join(earning)}**"
        if earning
        else "**The metric does not earn its place**"
    )
    return (
        f"{head}: lowest final loss of the same sweep, less that of the one that is shown the loss: {each} (repetitions: {told}; it "
        f"would have to be below 0 by {ERRORS:g} standard errors somewhere, and above 0 by as much nowhere)."
    )


def earns(differences: list[Mean | None]) -> bool:
    """Lower somewhere, higher nowhere."""
    signs = [0 if value is None else value.sign for value in differences]
    return -1 in signs and 1 not in signs


def replayed_words(evidence: Evidence, subject: str) -> str:
    """What rungs lose on recorded runs when they are shown the metric."""
    plain = evidence.losses_of(subject, "rungs", LOSS)
    if not plain:
        return f"{subject}, recorded runs: not replayed yet."
    if few := too_few(evidence, subject):
        return f"{subject}, rungs replayed on recorded runs: {few}."
    parts = []
    for variant in VARIANTS:
        own = evidence.losses_of(subject, "rungs", variant)
        value = mean([own[order] - plain[order] for order in own if order in plain])
        parts += [f"{variant} {words(value)}, which is {side(value)}"]
    return f"{subject}, rungs replayed on recorded runs: the final loss that is kept, less that kept when the loss is shown: {'; '.join(parts)}."


def pruning_words(evidence: Evidence, subject: str) -> str:
    """Which rules beat an unpruned sweep that spends as much, shown the loss."""
    found = [one for one in evidence.replays(subject) if one.seen == LOSS and one.rule != "none"]
    if not found:
        return f"{subject}, pruning by the loss against none for as much: not replayed yet."
    if few := too_few(evidence, subject):
        return f"{subject}, pruning by the loss against none for as much: {few}."
    named: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    for one in found:
        named[0 if one.than_as_much is None else one.than_as_much.sign].append(one.rule)
    parts = [
        f"{what} {', '.join(named[sign])}"
        for sign, what in ((-1, "better:"), (0, "no difference seen:"), (1, "worse:"))
        if named[sign]
    ]
    return f"{subject}, pruning by the loss against none for as much: {'; '.join(parts)}."


def too_few(evidence: Evidence, subject: str) -> str:
    """Why replays say nothing yet; empty where there are enough recorded runs behind them."""
    recorded = min(one.recorded for one in evidence.replays(subject))
    if recorded >= LEAST_REPLAYED:
        return ""
    return f"too few runs are recorded to say anything ({recorded}, and {LEAST_REPLAYED} are wanted)"


def margin_words(evidence: Evidence) -> str:
    """Which margin loses the best run rarely, and which is the usual one."""
    tables = [margins(evidence.replays(subject)) for subject in SUBJECTS]
    if not all(tables):
        return "Not replayed for every subject yet, so nothing is said of the usual margin."
    few = next(filter(None, (too_few(evidence, subject) for subject in SUBJECTS)), "")
    safe = safe_margin(tables)
    said = few.capitalize() or (
        f"None of these is safe everywhere (best run stopped in at most {RISK:.0%} of the sweeps)"
        if safe is None
        else f"From {safe:g} on the best run is stopped in at most {RISK:.0%} of the sweeps of either subject"
    )
    return f"{said}; `pruner.margin` is {usual_margin():g} by default."


def side(value: Mean | None) -> str:
    """Lower is better."""
    sign = 0 if value is None else value.sign
    return {-1: "better", 0: "no difference", 1: "worse"}[sign]


def words(value: Mean | None) -> str:
    """A difference with its standard error."""
    if value is None:
        return "–"
    return f"{value.value:+.4f}" + (f" ± {value.error:.4f}" if value.count > 1 else "")
