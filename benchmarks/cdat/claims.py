"""The source's claims, one by one: held here, or not, with the numbers, from the rows alone.

A claim is asked of cases: a problem and a base, a batch size, a variation. A case holds or does not; one without rows
is left out, and a claim without cases is not measured. The thresholds stand here, fixed before the rows were there.
What runs that diverged do to a case is `findings.Compared`'s one rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.cdat import findings
from benchmarks.cdat.findings import NAMES, Compared, Evidence, Trained, median
from benchmarks.cdat.plan import EMAS, VARIATIONS, Run, varied

EDGE = (0.8, 1.2)  # a median ratio in here is on the edge
MATCHES = 1.1  # times a rival's end loss still matches it
GROWS = 1.5  # times the first rate, and more than a first step after it, is a growth
ERASED = 0.5  # of the gain (in log loss) left is erased


@dataclass(frozen=True)
class Finding:
    """One case of a claim."""

    name: str
    held: bool
    numbers: str
    seeds: int


@dataclass(frozen=True)
class Claim:
    """A claim and its cases."""

    text: str
    cases: list[Finding]

    @property
    def verdict(self) -> str:
        """In a few words."""
        held = sum(case.held for case in self.cases)
        if not self.cases:
            return "not measured"
        if held == len(self.cases):
            return f"held ({held} of {held})"
        return f"held in {held} of {len(self.cases)}" if held else f"did not hold (0 of {len(self.cases)})"


def every(evidence: Evidence) -> list[Claim]:
    """All claims in the order of the page."""
    asked: list[tuple[str, Callable[[Evidence], Iterator[Finding]]]] = [
        ("From the same state, one step of σ = 1 lowers the loss more than one of σ = 2", step_won),
        ("σ = 1 loses the run to a tuned constant rate", lambda e: run_lost(e, "sigma1")),
        ("Line search loses the run to a tuned constant rate", lambda e: run_lost(e, "linesearch")),
        ("With σ = 1 the rate falls and sharpness rises", lambda e: snowball(e, "sigma1")),
        ("With line search too", lambda e: snowball(e, "linesearch")),
        ("With σ = 1 the ratio is below the edge", lambda e: below(e, "sigma1")),
        ("With line search it is, too", lambda e: below(e, "linesearch")),
        ("σ = 2 holds the edge", edge_held),
        ("Its rate grows first, like a warm-up", grows),
        ("σ = 2 beats or matches a tuned constant rate", lambda e: beats(e, "constant")),
        ("σ = 2 beats or matches a tuned warm-up + decay", lambda e: beats(e, "schedule")),
        ("The best σ falls with the batch", sigma_falls),
        ("Averages (ema 0.9) flatten that", averages_flatten),
        ("Sharpness is lower for small batches, at the same constant rate", sharpness_lower),
        ("Weight decay erases the gain of σ = 2 over a constant rate", decay_erases),
        ("Width helps: the gain grows", lambda e: helps(e, "width", 16, 256)),
        ("Depth helps: the gain grows", lambda e: helps(e, "depth", 1, 4)),
        ("More images help a little: the gain grows", lambda e: helps(e, "images", 100, 500)),
        ("Toy: a constant rate cycles around the edge", toy_cycles),
        ("Toy: tuners settle below it and sharpness grows as √(s₀² + 2acT)", toy_tuners),
        ("Toy: σ = 2 in the loop holds the sharpness, slightly less lets it grow", toy_closed),
    ]
    return [Claim(text, list(ask(evidence))) for text, ask in asked]


def step_won(evidence: Evidence) -> Iterator[Finding]:
    """The share of looks on all trajectories of a case."""
    for case in evidence.cases:
        runs = [run for rival in case.runs for run in case.every(rival)]
        share, count = findings.greedy_share(runs)
        if count:
            yield Finding(case.name, share > 0.5, f"{100 * share:.0f} % of {count}", seeds(runs))


def run_lost(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """End loss over the constant rate's."""
    for case in evidence.cases:
        found = findings.compare(case, rival, "constant")
        if found.seeds:
            yield Finding(case.name, found.ratio > 1, times(found, rival, "constant"), found.behind)


def times(found: Compared, first: str, second: str) -> str:
    """How many times the second's end loss the first's is, and who diverged."""
    return found.told(f"{found.mean or 0.0:.3g}×", spoken(first), spoken(second))


def spoken(rival: str) -> str:
    """A rival's name within a sentence."""
    return "the constant rate" if rival == "constant" else NAMES[rival]


def snowball(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """Rate and sharpness, last third over first."""
    for case in evidence.cases:
        if runs := [run for run in case.every(rival) if len(run.looks) >= 3]:
            rate = median(findings.thirds(run.looks, lambda look: look.rate) for run in runs)
            sharp = median(findings.thirds(run.looks, lambda look: look.sharpness) for run in runs)
            yield Finding(case.name, rate < 1 < sharp, f"rate {rate:.2g}×, sharpness {sharp:.2g}×", seeds(runs))


def below(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """The median ratio, at the mean rate, of all looks; beside it how many single steps were below."""
    for case in evidence.cases:
        if runs := [run for run in case.every(rival) if len(run.looks) >= 3]:
            looks = [look for run in runs for look in run.looks]
            edge, share = median(look.ratio for look in looks), sum(look.single < 1 for look in looks) / len(looks)
            numbers = f"ratio {plain(edge)}, below in {100 * share:.0f} % of single steps"
            yield Finding(case.name, edge < 1, numbers, seeds(runs))


def plain(number: float) -> str:
    """Two decimals; one digit of what these would call 0."""
    return f"{number:.2f}" if number == 0 or abs(number) >= 0.005 else f"{number:.0e}"


def edge_held(evidence: Evidence) -> Iterator[Finding]:
    """The median ratio of the second half."""
    for case in evidence.cases:
        runs = [run for run in case.every("sigma2") if run.looks]
        if runs:
            edge = median(look.ratio for run in runs for look in run.looks[len(run.looks) // 2 :])
            yield Finding(case.name, EDGE[0] <= edge <= EDGE[1], f"ratio {plain(edge)}", seeds(runs))


def grows(evidence: Evidence) -> Iterator[Finding]:
    """From the first step to the highest."""
    for case in evidence.cases:
        runs = case.every("sigma2")
        if runs:
            much = median(findings.growth(run)[0] for run in runs)
            where = median(findings.growth(run)[1] for run in runs)
            yield Finding(case.name, much >= GROWS, f"{much:.2g}× at {100 * where:.0f} % of the run", seeds(runs))


def beats(evidence: Evidence, rival: str) -> Iterator[Finding]:
    """End loss over the rival's."""
    for case in evidence.cases:
        found = findings.compare(case, "sigma2", rival)
        if found.seeds:
            yield Finding(case.name, found.ratio <= MATCHES, times(found, "sigma2", rival), found.behind)


def sigma_falls(evidence: Evidence) -> Iterator[Finding]:
    """The best σ of the smallest batch against that of the largest, without averages."""
    best = findings.best_sigmas(evidence.part("mini_batch"), 0.0)
    if len(best) > 1:
        values = [sigma for sigma, _ in best.values()]
        yield Finding("ema 0", values[0] < values[-1], told(best), min(n for _, n in best.values()))


def averages_flatten(evidence: Evidence) -> Iterator[Finding]:
    """The octaves between the best σ of different batches, with against without."""
    tables = [findings.best_sigmas(evidence.part("mini_batch"), ema) for ema in EMAS]
    if all(len(best) > 1 for best in tables):
        without, with_ = (octaves(best) for best in tables)
        numbers = f"{told(tables[1])}; {with_:.1f} octaves instead of {without:.1f}"
        yield Finding("ema 0.9", with_ < without, numbers, min(n for best in tables for _, n in best.values()))


def octaves(best: dict[int, tuple[float, int]]) -> float:
    """Between the lowest and the highest of the best σ."""
    values = [sigma for sigma, _ in best.values()]
    return math.log2(max(values) / min(values))


def told(best: dict[int, tuple[float, int]]) -> str:
    """Batch by batch."""
    return "best σ " + ", ".join(f"{sigma:g} (batch {batch})" for batch, (sigma, _) in best.items())


def sharpness_lower(evidence: Evidence) -> Iterator[Finding]:
    """Where constant rates end: the smallest batch against the largest."""
    runs = [one for one in evidence.part("mini_batch") if one.run.method == "constant" and one.sharpness is not None]
    for rate in sorted({one.run.value for one in runs}):
        table: dict[int, list[float]] = {}
        for one in runs:
            if one.run.value == rate:
                table.setdefault(one.run.batch, []).append(one.sharpness or 0.0)
        if len(table) > 1:
            means = {batch: median(values) for batch, values in sorted(table.items())}
            numbers = ", ".join(f"{value:.3g} (batch {batch})" for batch, value in means.items())
            first, *_, last = means.values()
            yield Finding(f"rate {rate:g}", first < last, numbers, min(map(len, table.values())))


@dataclass(frozen=True)
class Gain:
    """What σ gains over the tuned constant rate at one variation, in octaves of end loss."""

    sigma: float
    compared: Compared  # the constant rate's end loss over σ's

    @property
    def octaves(self) -> float:
        """For comparing: infinite where the constant rate alone diverged, everywhere; and the other way round."""
        ratio = self.compared.ratio
        return math.log2(ratio) if ratio > 0 else -math.inf if ratio == 0 else ratio

    def __str__(self) -> str:
        """With a sign, and who diverged in words."""
        number = f"{self.octaves:+.2f} octaves"
        return self.compared.told(number, "the constant rate", f"σ = {self.sigma:g}")


def gain(evidence: Evidence, name: str, value: float, sigma: float = 2.0) -> Gain | None:
    """What σ gains at one variation; None without rows."""
    template = varied(name, value)
    found = {key(one.run): one for one in evidence.part("sensitivity") if same(one.run, template)}
    pairs = [
        (one.end, found["cdat", sigma, seed].end)
        for (method, _, seed), one in found.items()
        if method == "constant" and ("cdat", sigma, seed) in found
    ]
    return Gain(sigma, findings.compared(pairs)) if pairs else None


def key(run: Run) -> tuple[str, float, int]:
    """A run within a variation."""
    return run.method, run.value if run.method == "cdat" else 0.0, run.seed


def same(run: Run, template: Run) -> bool:
    """Whether a run is of a variation."""
    names = ("problem", "base", "width", "depth", "decay", "images")
    return all(getattr(run, name) == getattr(template, name) for name in names)


def decay_erases(evidence: Evidence) -> Iterator[Finding]:
    """The gain at a decay against the gain without."""
    without = gain(evidence, *VARIATIONS[0])
    for name, value in VARIATIONS:
        found = gain(evidence, name, value) if name == "decay" else None
        if found is not None and without is not None:
            held = without.octaves > 0 and found.octaves <= ERASED * without.octaves
            behind = min(found.compared.behind, without.compared.behind)
            yield Finding(f"α = {value:g}", held, f"gain {found}, without decay {without}", behind)


def helps(evidence: Evidence, name: str, low: float, high: float) -> Iterator[Finding]:
    """The gain at the larger against the smaller value."""
    less, more = gain(evidence, name, low), gain(evidence, name, high)
    if less is not None and more is not None:
        behind = min(less.compared.behind, more.compared.behind)
        yield Finding(name, more.octaves > less.octaves, f"gain at {low:g}: {less}, at {high:g}: {more}", behind)


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
