"""The sentences that say whether metric and pruners earn their place, computed from the rows; the bars were set before."""

from __future__ import annotations

import textwrap

from benchmarks.edge_sweep import margins
from benchmarks.edge_sweep.findings import ERRORS, LEAST_REPETITIONS, LEAST_REPLAYED, Evidence, Mean, mean
from benchmarks.edge_sweep.paired import Paired, sign_test
from benchmarks.edge_sweep.setting import FRESH_SEEDS, LOSS, SUBJECTS, TRIALS, USUAL_KAPPA, VARIANTS, WINDOW
from flatdirs.backend.pruning import FIRST_COMPARED, Incumbent

CHANCE = 0.05  # a sign test above it decides nothing
CAVEAT = (
    f"told apart only beyond {ERRORS:g} standard errors, as orders share their runs, which makes the errors too small"
)
README_WIDTH = 140
Decided = dict[tuple[str, str], Paired | None]


def verdict(evidence: Evidence) -> list[str]:
    """A heading and a list of sentences."""
    return [
        "## The verdict",
        "",
        f"- {trained_words(evidence)}",
        *(f"- {sentence}" for sentence in pooled_words(evidence)),
        *(f"- {sentence}" for sentence in made_words(evidence)),
        *(f"- {replayed_words(evidence, subject)}" for subject in SUBJECTS),
        *(f"- {pruning_words(evidence, subject)}" for subject in SUBJECTS),
    ]


def whole(evidence: Evidence) -> bool:
    """Whether there are enough repetitions of both subjects to decide anything."""
    return all(len(evidence.repetitions(subject)) >= LEAST_REPETITIONS for subject in SUBJECTS)


def compared(evidence: Evidence) -> str:
    """What decides: the winners trained anew as soon as all of them were, else what the sweeps themselves saw."""
    return "confirmed" if all(evidence.all_confirmed(subject) for subject in SUBJECTS) else "best"


def trained_words(evidence: Evidence) -> str:
    """Whether sweeps that train end lower with the metric than with the loss."""
    counts = {subject: len(evidence.repetitions(subject)) for subject in SUBJECTS}
    told = ", ".join(f"{subject} {count}" for subject, count in counts.items())
    if not whole(evidence):
        return (
            f"**Whether the metric earns its place is not decided yet**: the sweeps that train ({TRIALS} trials each) have "
            f"whole repetitions for {told}, and {LEAST_REPETITIONS} of each are wanted."
        )
    head, rest = heads(evidence)
    each = "; ".join(f"{subject}, {variant} {words(value)}" for (subject, variant), value in decided(evidence).items())
    return (
        f"{head}: {COMPARED[compared(evidence)]}, less that of the same sweep shown the loss, mean over repetitions [95 % interval, "
        f"Student's]: {each}. It would have to lie with its whole interval below 0 somewhere, and with its whole interval above 0 nowhere.{rest}"
    )


def short(evidence: Evidence) -> list[str]:
    """The same for the project's README, in a few lines."""
    if not whole(evidence):
        return [trained_words(evidence)]
    head, rest = heads(evidence)
    anew = ", winners trained anew" if compared(evidence) == "confirmed" else ""
    said = (
        f"{head}.{rest} Final loss of a sweep's winner, less that of the same sweep shown the loss; AdamW, {TRIALS} trials, rungs on, "
        f"{LEAST_REPETITIONS} repetitions [95 % interval]{anew}:"
    )
    return [
        *textwrap.wrap(said, README_WIDTH),
        "",
        f"| | {' | '.join(VARIANTS)} |",
        "|---|" + "---|" * len(VARIANTS),
        *(f"| {s} | {' | '.join(words(decided(evidence)[s, v]) for v in VARIANTS)} |" for s in SUBJECTS),
        "",
    ]


def decided(evidence: Evidence) -> Decided:
    """By subject and variant: the sweeps shown it, less those shown the loss."""
    what = compared(evidence)
    return {(s, v): evidence.difference(s, v, what) for s in SUBJECTS for v in VARIANTS}


def heads(evidence: Evidence) -> tuple[str, str]:
    """Whether the metric earns its place, in bold; a sentence for each variant (what it gains or harms, what is open)."""
    found = decided(evidence)
    earning = [variant for variant in VARIANTS if earns([found[subject, variant] for subject in SUBJECTS])]
    head = f"earns its place as {' and as '.join(earning)}" if earning else "does not earn its place"
    said = [variant_words(variant, {s: found[s, variant] for s in SUBJECTS}) for variant in VARIANTS]
    return f"**The metric (κ {USUAL_KAPPA:g}, window {WINDOW}) {head}**", "".join(f" {sentence}" for sentence in said)


def variant_words(variant: str, found: dict[str, Paired | None]) -> str:
    """What one variant does, who decides that, and which gains are not excluded."""
    signs = {subject: 0 if value is None else value.sign for subject, value in found.items()}
    low, high = ([subject for subject in signs if signs[subject] == side] for side in (-1, 1))
    if low and high:
        return f"As {variant} it gains on the {' and the '.join(low)} and does harm on the {' and the '.join(high)}."
    if not low and not high:
        ends = [(s, -value.interval[0]) for s, value in found.items() if value is not None and value.interval[0] < 0]
        open_ = " and ".join(f"{gain:.2g} ({subject})" for subject, gain in ends)
        return f"As {variant} no gain was seen{f'; gains up to {open_} are not excluded' if open_ else ''}."
    *_, chance = sign_test([value for one in found.values() if one is not None for value in one.signed])
    alone = f", which the {' and the '.join(low or high)} decide{'' if len(low or high) > 1 else 's alone'}"
    doubt = f"{alone} (sign test over both subjects: p = {chance:.2g})" if chance >= CHANCE else ""
    return f"{'It gains' if low else 'It does harm'} as {variant}{doubt}."


COMPARED = {
    "confirmed": f"the final loss of the sweep's winner (the run that ends lowest) trained anew with {len(FRESH_SEEDS)} fresh seeds "
    f"(judged on the same held-out examples; only the seeds are fresh)",
    "best": "the final loss of the run that ends lowest, with the seed that the sweep saw (the winners have not been trained anew yet)",
}


def pooled_words(evidence: Evidence) -> list[str]:
    """What both subjects say together, and how often luck would say so; nothing before there is a decision."""
    if not whole(evidence):
        return []
    what, parts = compared(evidence), []
    for variant in VARIANTS:
        found = [evidence.difference(subject, variant, what) for subject in SUBJECTS]
        lower, count, chance = sign_test([value for one in found if one is not None for value in one.signed])
        parts += [f"{variant} ends lower in {lower} of {count} repetitions (two-sided sign test, p = {chance:.2g})"]
    return [
        f"Over both subjects: {'; '.join(parts)}. Four differences are looked at, so that even without any effect about one time in ten some "
        f"interval would lie below 0."
    ]


def made_words(evidence: Evidence) -> list[str]:
    """In which precision the subjects ran, and how long all of it took; nothing before anything was trained."""
    known = {subject: evidence.precision(subject) for subject in SUBJECTS}
    parts = [f"the {subject} ran in {precision}" for subject, precision in known.items() if precision]
    if not evidence.hours:
        return []
    took = f"all runs on file took {evidence.hours:.1f} hours, one after the other, on a machine that had other work"
    said = "; ".join([*parts, took])
    return [f"{said[0].upper()}{said[1:]}."]


def earns(differences: list[Paired | None]) -> bool:
    """Lower somewhere, higher nowhere."""
    signs = [0 if value is None else value.sign for value in differences]
    return -1 in signs and 1 not in signs


def harms(differences: list[Paired | None]) -> bool:
    """Higher somewhere, lower nowhere."""
    signs = [0 if value is None else value.sign for value in differences]
    return 1 in signs and -1 not in signs


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
    return (
        f"{subject}, rungs replayed on recorded runs: the final loss that is kept, less that kept when the loss is shown: {'; '.join(parts)} "
        f"({CAVEAT})."
    )


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
    return f"{subject}, pruning by the loss against none for as much: {'; '.join(parts)} ({CAVEAT})."


def too_few(evidence: Evidence, subject: str) -> str:
    """Why replays say nothing yet; empty where there are enough recorded runs behind them."""
    recorded = min(one.recorded for one in evidence.replays(subject))
    if recorded >= LEAST_REPLAYED:
        return ""
    return f"too few runs are recorded to say anything ({recorded}, and {LEAST_REPLAYED} are wanted)"


def margin_words(evidence: Evidence) -> str:
    """Which margin is safe and saves most, and which is the usual one."""
    found, risk = margins.read(evidence.folder), f"at most {margins.RISK:.0%} of the searches"
    best = margins.chosen(found)
    usual = f"`pruner.margin` is {Incumbent().margin:g} by default, from {FIRST_COMPARED:.0%} of a run on."
    if {one.subject for one in found} != set(SUBJECTS):
        return f"Not replayed for every subject yet, so nothing is chosen; {usual}"
    if best is None:
        return f"None of these is safe everywhere (the winner stopped in {risk}); {usual}"
    first, margin = best
    return (
        f"Safe (it and all wider ones stop the winner in {risk} of each kind, of either subject, in either unit) and saving most of those: "
        f"a margin of {margin:g} from evaluation {first} on; {usual}"
    )


def side(value: Mean | None) -> str:
    """Lower is better."""
    sign = 0 if value is None else value.sign
    return {-1: "better", 0: "no difference seen", 1: "worse"}[sign]


def blown_words(value: Paired) -> str:
    """How many repetitions are in no mean; nothing where there are none."""
    own = f" ({value.blown} diverged, in no mean)" if value.blown else ""
    return own + (f" (of the loss, {value.spared} diverged, in no mean)" if value.spared else "")


def words(value: Paired | Mean | None) -> str:
    """A difference with its interval and count, or with its standard error."""
    if value is None:
        return "–"
    if isinstance(value, Paired):
        low, high = value.interval
        return (
            f"{value.mean:+.4f} [{low:+.4f}, {high:+.4f}], lower in {value.lower} of {value.count}{blown_words(value)}"
        )
    return f"{value.value:+.4f}" + (f" ± {value.error:.4f}" if value.count > 1 else "")
