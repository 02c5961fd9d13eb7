"""The claims about mini-batches and about width, depth, decay and images; the best σ and the gains they are asked of.

Mini-batches are judged apart from the full batch, whose loss is another: there small σ wins by far. How σ moves with the
batch is a slope, of log₂ of the best σ on log₂ of the batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import linear_regression

from benchmarks.cdat import findings
from benchmarks.cdat.findings import Compared, Evidence, median
from benchmarks.cdat.plan import EMAS, PROBLEMS, VARIATIONS, VARIED_BASES, Run, varied
from benchmarks.cdat.verdicts import Finding

ERASED = 0.5  # of the gain (in log loss) left is erased
HARDLY = 0.25  # octaves: hardly a gain
SMALL_SIGMA = 0.5
Best = Mapping[int, tuple[float, int]]  # batch → the best σ, seeds


def mini(evidence: Evidence, ema: float) -> Best:
    """The best σ of the batches that are not all images."""
    runs = evidence.part("mini_batch")
    found = findings.best_sigmas(runs, ema)
    return {batch: best for batch, best in found.items() if not full(batch, runs[0].run)}


def full(batch: int, run: Run) -> bool:
    """Whether so many are all images."""
    return batch >= PROBLEMS[run.problem].images


def slope(best: Best) -> float | None:
    """Octaves of the best σ for each octave of the batch; None of a single batch."""
    if len(best) < 2:
        return None
    logs = [math.log2(sigma) for sigma, _ in best.values()]
    return linear_regression([math.log2(batch) for batch in best], logs).slope


def sigma_falls(evidence: Evidence) -> Iterator[Finding]:
    """The sign of the slope, with and without averages."""
    for ema in EMAS:
        best = mini(evidence, ema)
        if (found := slope(best)) is not None:
            yield Finding(f"ema {ema:g}", found > 0, f"{told(best)}; slope {found:+.2f}", fewest(best))


def averages_flatten(evidence: Evidence) -> Iterator[Finding]:
    """The slope with averages against that without, if that is one."""
    bests = [mini(evidence, ema) for ema in EMAS]
    without, with_ = map(slope, bests)
    if without is not None and with_ is not None:
        held = abs(with_) < without if without > 0 else None
        numbers = f"slope {with_:+.2f} instead of {without:+.2f}"
        why = "not answered: no slope to flatten"
        yield Finding("ema 0.9", held, numbers, min(map(fewest, bests)), why=why)


def fewest(best: Best) -> int:
    """Seeds behind any."""
    return min(count for _, count in best.values())


def told(best: Best) -> str:
    """Batch by batch."""
    return f"best σ {', '.join(f'{sigma:g}' for sigma, _ in best.values())} (batch {', '.join(map(str, best))})"


def corner(evidence: Evidence) -> str:
    """Whether small σ in the full batch are the best cells of all, in a sentence."""
    runs = evidence.part("mini_batch")
    cells = sorted(
        (value, sigma, batch, ema)
        for ema in EMAS
        for (sigma, batch), (value, _) in findings.sigma_table(runs, ema).items()
        if math.isfinite(value)
    )
    names = [f"{value:.2g} (ema {ema:g}, σ = {sigma:g}, batch {batch})" for value, sigma, batch, ema in cells]
    corners = [full(batch, runs[0].run) and sigma <= SMALL_SIGMA for _, sigma, batch, _ in cells]
    count = corners.index(False) if False in corners else len(corners)
    if not count:
        return f"The best cell of all is {names[0]}." if names else ""
    rest = f"; the best of the others is {names[count]}" if count < len(names) else ""
    best = "The best cell" if count == 1 else f"The {count} best cells"
    return f"{best} of both maps: the full batch with σ ≤ {SMALL_SIGMA:g}, {', '.join(names[:count])}{rest}."


def sharpness_table(evidence: Evidence) -> dict[float, dict[int, list[float]]]:
    """Constant rate → batch → the sharpness its runs end at."""
    table: dict[float, dict[int, list[float]]] = {}
    for one in evidence.part("mini_batch"):
        if one.run.method == "constant" and one.sharpness is not None:
            table.setdefault(one.run.value, {}).setdefault(one.run.batch, []).append(one.sharpness)
    return {rate: dict(sorted(column.items())) for rate, column in sorted(table.items())}


def sharpness_lower(evidence: Evidence) -> Iterator[Finding]:
    """Where constant rates end: the smallest batch against the largest."""
    for rate, table in sharpness_table(evidence).items():
        if len(table) > 1:
            means = {batch: median(values) for batch, values in table.items()}
            numbers = f"{', '.join(f'{value:.3g}' for value in means.values())} (batch {', '.join(map(str, means))})"
            first, *_, last = means.values()
            yield Finding(f"rate {rate:.3g}", first < last, numbers, min(map(len, table.values())))


@dataclass(frozen=True)
class Gain:
    """What σ gains over the tuned constant rate at one variation, in octaves of end loss."""

    sigma: float
    compared: Compared  # the constant rate's end loss over σ's

    @property
    def octaves(self) -> float | None:
        """The mean; None where too few seeds finished."""
        return None if self.compared.mean is None else math.log2(self.compared.mean)

    @property
    def short(self) -> str:
        """The mean and the lowest to highest over seeds."""
        if self.octaves is None:
            return "–"
        low, high = (f"{math.log2(ratio):+.2f}" for ratio in self.compared.range)
        return f"{self.octaves:+.2f}" + (f" ({low} to {high})" if self.compared.both > 1 else "")

    def __str__(self) -> str:
        """With a sign, and who diverged in words."""
        return self.compared.told(self.short, "the constant rate", f"σ = {self.sigma:g}")


def gain(evidence: Evidence, name: str, value: float, sigma: float = 2.0, base: str = "gd") -> Gain | None:
    """What σ gains at one variation; None without rows."""
    template = varied(name, value, base=base)
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
    """The gain at a decay against the gain without, if there is one."""
    for base, (name, value) in itertools.product(VARIED_BASES, VARIATIONS):
        without = gain(evidence, *VARIATIONS[0], base=base)
        found = gain(evidence, name, value, base=base) if name == "decay" else None
        if found is None or without is None:
            continue
        held, why = None, "no verdict"
        if found.octaves is not None and without.octaves is not None:
            held = found.octaves <= ERASED * without.octaves if without.octaves > 0 else None
            why = "no gain here to erase"
        behind = min(found.compared.behind, without.compared.behind)
        yield Finding(f"{base}, α = {value:g}", held, f"{found}, without decay {without}", behind, why=why)


def helps(evidence: Evidence, name: str, low: float, high: float) -> Iterator[Finding]:
    """The gain at the larger against the smaller value; undecided where either has no number."""
    for base in VARIED_BASES:
        less, more = (gain(evidence, name, value, base=base) for value in (low, high))
        if less is not None and more is not None:
            held = None if less.octaves is None or more.octaves is None else more.octaves > less.octaves
            behind = min(less.compared.behind, more.compared.behind)
            yield Finding(f"{base}, {name}", held, f"at {low:g} {less}, at {high:g} {more}", behind)


def power(evidence: Evidence, base: str = "gd") -> str:
    """How much of a gain there is to vary, in a sentence; nothing without rows."""
    found = gain(evidence, *VARIATIONS[0], base=base)
    if found is None or found.octaves is None:
        return ""
    if found.octaves >= HARDLY:
        return f"Unvaried, {base}: σ = 2 gains {found.short} octaves."
    much = "no gain" if found.octaves <= 0 else "hardly any gain"
    return f"Unvaried, {base}: σ = 2 gains {found.short} octaves: {much} to begin with, so what erases it or makes it grow can hardly show here."
