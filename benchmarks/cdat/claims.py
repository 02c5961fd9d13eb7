"""The source's claims, one by one: held here, or not, with the numbers, from the rows alone.

A claim is asked of cases: a problem and a base, a batch size, a variation. A case holds, does not or is undecided; one
without rows is left out, and a claim without cases is not measured (`verdicts`). The thresholds stand here and in
`variations`; the page says which were changed after the first rows. What runs that diverged do to a case is
`findings.Compared`'s one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from benchmarks.cdat import findings, variations
from benchmarks.cdat.findings import NAMES, Case, Evidence, Look, Trained, median
from benchmarks.cdat.plan import PROBLEMS
from benchmarks.cdat.verdicts import Claim, Finding, Measure, percent, plain, times

EDGE = (0.8, 1.2)  # a median ratio in here is on the edge
MATCHES = 1.1  # times a rival's end loss still matches it
GROWS = 1.5  # times the first rate is a growth
EARLY = 0.5  # of the run: by then a warm-up is at its peak
END = (Measure("end loss over the other's", times),)
ENDS = (Measure("last third over first: rate", times), Measure("sharpness", times))
BELOW = (Measure("ratio", plain), Measure("single steps below", percent))
Ask = Callable[[Evidence], Iterator[Finding]]


def every(evidence: Evidence) -> list[Claim]:
    """All claims in the order of the page."""
    return [*of_cases(evidence), *of_variations(evidence), *of_the_toy(evidence)]


def of_cases(evidence: Evidence) -> list[Claim]:
    """Those asked of every problem and base in the full batch."""
    lowers = (Measure("part of the looks", percent),)
    grown = (Measure("growth", times), Measure("peak at", percent))
    asked: list[tuple[str, str, tuple[Measure, ...], Ask]] = [
        *(
            (f"From the same state, one step of {name} lowers the loss more than one of {other}", short, lowers, ask)
            for name, short, other, ask in (
                ("σ = 1", "σ1 step", "the tuned constant rate, along its run", lambda e: step_won(e, greedy, own)),
                (
                    "line search",
                    "ls step",
                    "the tuned constant rate, along its run",
                    lambda e: step_won(e, search, own),
                ),
                ("σ = 1", "σ1 step, σ2", "σ = 2, along every run", lambda e: step_won(e, greedy, edge)),
                ("line search", "ls step, σ2", "σ = 2, along every run", lambda e: step_won(e, search, edge)),
            )
        ),
        ("σ = 1 loses the run to a tuned constant rate", "σ1 loses", END, lambda e: run_lost(e, "sigma1")),
        ("Line search loses the run to a tuned constant rate", "ls loses", END, lambda e: run_lost(e, "linesearch")),
        ("With σ = 1 the rate falls and sharpness rises", "σ1 snowball", ENDS, lambda e: snowball(e, "sigma1")),
        ("With line search too", "ls snowball", ENDS, lambda e: snowball(e, "linesearch")),
        ("With σ = 1 the ratio is below the edge", "σ1 below", BELOW, lambda e: below(e, "sigma1")),
        ("With line search it is, too", "ls below", BELOW, lambda e: below(e, "linesearch")),
        ("σ = 2 holds the edge", "σ2 edge", BELOW[:1], edge_held),
        ("Its rate grows first, like a warm-up", "σ2 warm-up", grown, grows),
        ("σ = 2 beats or matches a tuned constant rate", "σ2 constant", END, lambda e: beats(e, "constant")),
        ("σ = 2 beats or matches a tuned warm-up + decay", "σ2 schedule", END, lambda e: beats(e, "schedule")),
    ]
    return [Claim(text, list(ask(evidence)), short, measures) for text, short, measures, ask in asked]


def of_variations(evidence: Evidence) -> list[Claim]:
    """Those about mini-batches and about what is varied."""
    asked: list[tuple[str, Ask]] = [
        (
            "The best σ falls with the batch: it is smaller for smaller mini-batches (the full batch apart)",
            variations.sigma_falls,
        ),
        ("Averages (ema 0.9) flatten that", variations.averages_flatten),
        ("Sharpness is lower for small batches, at the same constant rate", variations.sharpness_lower),
        ("Weight decay erases the gain of σ = 2 over a constant rate", variations.decay_erases),
        ("Width helps: the gain grows", lambda e: variations.helps(e, "width", 16, 256)),
        ("Depth helps: the gain grows", lambda e: variations.helps(e, "depth", 1, 4)),
        ("More images help a little: the gain grows", lambda e: variations.helps(e, "images", 100, 500)),
    ]
    return [Claim(text, list(ask(evidence))) for text, ask in asked]


def of_the_toy(evidence: Evidence) -> list[Claim]:
    """Those of the toy model."""
    asked: list[tuple[str, Ask]] = [
        ("Toy: a constant rate cycles around the edge", toy_cycles),
        ("Toy: tuners settle below it and sharpness grows as √(s₀² + 2acT)", toy_tuners),
        ("Toy: σ = 2 in the loop holds the sharpness, slightly less lets it grow", toy_closed),
    ]
    return [Claim(text, list(ask(evidence))) for text, ask in asked]


def greedy(look: Look) -> float:
    """The gain of one step of σ = 1."""
    return look.gain1


def edge(look: Look) -> float:
    """The gain of one step of σ = 2."""
    return look.gain2


def own(look: Look) -> float:
    """The gain of one step of the run's constant rate."""
    return look.gain_own


def search(look: Look) -> float:
    """The gain of one step of line search."""
    return look.gain_search


def found_in(case: Case, held: bool, seeds: int, *numbers: float | None, lost: str = "") -> Finding:
    """A case of the full batch."""
    return Finding(case.name, held, "", seeds, numbers, PROBLEMS[case.problem].loss, lost=lost)


def step_won(evidence: Evidence, gain: Callable[[Look], float], other: Callable[[Look], float]) -> Iterator[Finding]:
    """The share of looks, of all runs of a case where both are tried, in which a step of one rule gains more."""
    for case in evidence.cases:
        runs = [run for rival in case.runs for run in case.every(rival)]
        share, count = findings.step_share(runs, gain, other)
        if count:
            yield found_in(case, share > 0.5, seeds(runs), share)


def run_lost(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """End loss over the constant rate's."""
    for case in evidence.cases:
        found = findings.compare(case, rival, "constant")
        if found.seeds:
            lost = found.lost(spoken(rival), spoken("constant"))
            yield found_in(case, found.ratio > 1, found.behind, found.mean, lost=lost)


def spoken(rival: str) -> str:
    """A rival's name within a sentence."""
    return "the constant rate" if rival == "constant" else NAMES[rival]


def snowball(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """Rate and sharpness, last third over first."""
    for case in evidence.cases:
        if runs := [run for run in case.every(rival) if len(run.looks) >= 3]:
            rate = median(findings.thirds(run.looks, lambda look: look.rate) for run in runs)
            sharp = median(findings.thirds(run.looks, lambda look: look.sharpness) for run in runs)
            yield found_in(case, rate < 1 < sharp, seeds(runs), rate, sharp)


def below(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """The median ratio, at the mean rate, of all looks; beside it how many single steps were below."""
    for case in evidence.cases:
        if runs := [run for run in case.every(rival) if len(run.looks) >= 3]:
            looks = [look for run in runs for look in run.looks]
            edge, share = median(look.ratio for look in looks), sum(look.single < 1 for look in looks) / len(looks)
            yield found_in(case, edge < 1, seeds(runs), edge, share)


def edge_held(evidence: Evidence) -> Iterator[Finding]:
    """The median ratio of the second half."""
    for case in evidence.cases:
        runs = [run for run in case.every("sigma2") if run.looks]
        if runs:
            edge = median(look.ratio for run in runs for look in run.looks[len(run.looks) // 2 :])
            yield found_in(case, EDGE[0] <= edge <= EDGE[1], seeds(runs), edge)


def grows(evidence: Evidence) -> Iterator[Finding]:
    """From the first step to the highest, early in the run, and the run ends below where it began with every seed."""
    for case in evidence.cases:
        runs = case.every("sigma2")
        if runs:
            much = median(findings.growth(run)[0] for run in runs)
            where = median(findings.growth(run)[1] for run in runs)
            held = much >= GROWS and where < EARLY and all(run.end < run.initial for run in runs)
            yield found_in(case, held, seeds(runs), much, where)


def beats(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """End loss over the rival's."""
    for case in evidence.cases:
        found = findings.compare(case, "sigma2", rival)
        if found.seeds:
            lost = found.lost(spoken("sigma2"), spoken(rival))
            yield found_in(case, found.ratio <= MATCHES, found.behind, found.mean, lost=lost)


def toy_path(evidence: Evidence, kind: str, number: float) -> list[tuple[int, float, float]]:
    """(step, sharpness, rate)."""
    return [
        (int(row["step"]), float(row["sharpness"]), float(row["rate"]))
        for row in evidence.toy
        if row["kind"] == kind and float(row["number"]) == number
    ]


def toy_cycles(evidence: Evidence) -> Iterator[Finding]:
    """How often y = ηs − 2 passes 0, and whether the run comes to its end: one that is lost cycles around nothing."""
    from benchmarks.cdat.toy import extremes
    from benchmarks.cdat.toy_runs import CONSTANT, STEPS

    path = toy_path(evidence, "constant", CONSTANT)
    if path:
        widths, last = extremes([rate * sharp - 2 for _, sharp, rate in path]), path[-1][0]
        growing = "growing " if all(one < other for one, other in pairwise(widths[:-1])) else ""
        end = f"is there at step {last}" if last >= STEPS else f"is lost at step {last + 1}"
        numbers = f"y passes 0 {len(widths)} times in {growing}cycles, then {end}"
        yield Finding(f"η = {CONSTANT:g}", len(widths) >= 4 and last >= STEPS, numbers, 1)


def toy_tuners(evidence: Evidence) -> Iterator[Finding]:
    """Where the sharpness ends, against the formula."""
    from benchmarks.cdat.toy import Toy
    from benchmarks.cdat.toy_runs import STEPS, TUNERS

    for c in TUNERS:
        path = toy_path(evidence, "tuner", c)
        if path:
            expected = Toy().followed(c, STEPS)
            held = abs(path[-1][1] / expected - 1) < 0.01
            yield Finding(f"c = {c:g}", held, f"sharpness {path[-1][1]:.2f}, formula {expected:.2f}", 1)


def toy_closed(evidence: Evidence) -> Iterator[Finding]:
    """σ = 2 ends no sharper than it began; σ = 1.9 does, below the edge."""
    from benchmarks.cdat.toy_runs import CLOSED

    ends = {sigma: path[-1] for sigma in CLOSED if (path := toy_path(evidence, "cdat", sigma))}
    if {1.9, 2.0} <= ends.keys():
        begin = toy_path(evidence, "cdat", 2.0)[0][1]
        held = ends[2.0][1] <= begin < ends[1.9][1]
        numbers = "; ".join(f"σ = {s:g}: sharpness {e[1]:.2f} after {e[0]} steps" for s, e in ends.items())
        yield Finding("these constants", held, numbers, 1)


def seeds(runs: list[Trained]) -> int:
    """How many different ones."""
    return len({one.run.seed for one in runs})


def start_numbers(evidence: Evidence, lattice: str) -> dict[str, list[float]] | None:
    """Over the seeds where both starts answered: values on the surface, peaks and costs in runs. None without rows."""
    table = [row for row in evidence.starts if row["lattice"] == lattice and row["cdat_value"] and row["step_sampling"]]
    if not table:
        return None
    from benchmarks.cdat.start import STEP_PRICE, from_rates

    edges = [from_rates([float(rate) for rate in row["rates"].split(";")]) for row in table]
    return {
        "seeds": [float(row["seed"]) for row in table],
        "step_sampling": [float(row["step_sampling_value"]) for row in table],
        "cdat": [float(row["cdat_value"]) for row in table],
        "step_sampling rate": [float(row["step_sampling"]) for row in table],
        "cdat rate": [edge.learning_rate for edge in edges if edge],
        "warmup": [edge.warmup_steps / float(row["run_steps"]) for edge, row in zip(edges, table, strict=True) if edge],
        "step_sampling cost": [float(row["step_sampling_cost"]) / float(row["run_steps"]) for row in table],
        "cdat cost": [STEP_PRICE * float(row["edge_steps"]) / float(row["run_steps"]) for row in table],
        "best": [float(row["best"]) for row in table],
    }


def fractions(evidence: Evidence, lattice: str) -> dict[int, float]:
    """Part of the peak → mean accuracy on the surface: what another rule would have given, in hindsight."""
    table = [row for row in evidence.starts if row["lattice"] == lattice and row["cdat_fractions"]]
    values: dict[int, list[float]] = {}
    for row in table:
        for part, accuracy in findings.numbers(row["cdat_fractions"]):
            values.setdefault(int(part), []).append(accuracy)
    return {part: sum(each) / len(each) for part, each in values.items()}
