"""What a claim came to: its cases, the numbers they are decided by, and the verdict in a few words.

A case holds, does not, or is undecided: where a number is missing, or where there is nothing that the claim could be
about. An undecided case counts neither way and says why; a claim without cases is not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.cdat.findings import median

UNDECIDED = "no verdict"


@dataclass(frozen=True)
class Measure:
    """A number that cases have: what it is, and how it is written."""

    what: str
    form: Callable[[float], str]


@dataclass(frozen=True)
class Finding:
    """One case of a claim. `held`: None where undecided, and `why` says so; `values`: one for each measure of the claim."""

    name: str
    held: bool | None
    numbers: str
    seeds: int
    values: tuple[float | None, ...] = ()
    loss: str = ""  # of the problem, where the cases are problems and bases
    why: str = UNDECIDED
    lost: str = ""  # who diverged, in words

    @property
    def mark(self) -> str:
        """✓, ✗ or –."""
        return "–" if self.held is None else "✓" if self.held else "✗"


@dataclass(frozen=True)
class Claim:
    """A claim and its cases. `short`: the head of its column, where the cases are problems and bases."""

    text: str
    cases: list[Finding]
    short: str = ""
    measures: tuple[Measure, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """In a few words."""
        if not self.cases:
            return "not measured"
        undecided = [case.why for case in self.cases if case.held is None]
        if len(undecided) == len(self.cases):
            return ", ".join(dict.fromkeys(undecided))
        held, count = sum(bool(case.held) for case in self.cases), len(self.cases) - len(undecided)
        whole = f"held ({held} of {count})" if held == count else f"held in {held} of {count}"
        told = whole if held else f"did not hold (0 of {count})"
        return f"{told}; {', '.join(dict.fromkeys(undecided))} in {len(undecided)}" if undecided else told

    def of_loss(self, loss: str) -> str:
        """How many of the decided cases with this loss held."""
        decided = [case.held for case in self.cases if case.loss == loss and case.held is not None]
        return f"{sum(decided)} of {len(decided)}" if decided else "–"

    def numbers(self) -> str:
        """The median and the range over cases of each measure; without measures, what every case says."""
        if not self.measures:
            return "; ".join(f"{case.name}: {case.numbers}" for case in self.cases) or "–"
        told = []
        for place, measure in enumerate(self.measures):
            values = [value for case in self.cases if (value := case.values[place]) is not None]
            if values:
                middle, low, high = (measure.form(value) for value in (median(values), min(values), max(values)))
                told.append(
                    f"{measure.what} {middle} ({low} to {high})" if len(values) > 1 else f"{measure.what} {middle}"
                )
        return "; ".join(told) or "–"

    def seeds(self) -> str:
        """Behind its cases."""
        counts = sorted({case.seeds for case in self.cases})
        return "–" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    def cell(self, name: str) -> str:
        """The mark and numbers of the case called so."""
        for case in self.cases:
            if case.name == name:
                forms = [
                    "none" if value is None else measure.form(value)
                    for measure, value in zip(self.measures, case.values, strict=True)
                ]
                return f"{case.mark} {', '.join(forms)}"
        return ""


def times(number: float) -> str:
    """How many times."""
    return (
        f"{float(f'{number:.3g}'):,.0f}×"
        if number >= 1000
        else f"{number:.3g}×"
        if number >= 0.001
        else f"{number:.2g}×"
    )


def percent(number: float) -> str:
    """A part."""
    return f"{100 * number:.0f} %"


def plain(number: float) -> str:
    """Two decimals; one digit of what these would call 0."""
    return f"{number:.2f}" if number == 0 or abs(number) >= 0.005 else f"{number:.0e}"
