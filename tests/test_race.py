"""The rule of the race: what replaces the start, what is dropped, and how often chance alone replaces it."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.search.race import START, Lead, handed_over, lead, needed_pairs, still_racing
from flatdirs.tuning.settings import Limits
from tests.refused import refused

VALUE = st.none() | st.floats(-1e6, 1e6)
SEEDS = st.integers(1, 12)


@st.composite
def races(draw: st.DrawFn) -> tuple[dict[str, list[float | None]], int]:
    """Values of a whole race of up to three, and how many seeds were allowed."""
    seeds = draw(SEEDS)
    names = [START, "incumbent", "runner-up"][: draw(st.integers(2, 3))]
    return {name: draw(st.lists(VALUE, min_size=seeds, max_size=seeds)) for name in names}, seeds


def candidates(values: dict[str, list[float | None]]) -> list[str]:
    return [name for name in values if name != START]


@given(races(), st.booleans())
def test_the_start_is_replaced_only_by_a_clear_lead(
    race: tuple[dict[str, list[float | None]], int], maximize: bool
) -> None:
    values, seeds = race
    name = handed_over(values, candidates(values), seeds, maximize)
    if name == START:
        return
    pairs = [(mine, its) for mine, its in zip(values[name], values[START], strict=True) if (mine, its) != (None, None)]
    both = [mine - its if maximize else its - mine for mine, its in pairs if mine is not None and its is not None]
    lost, won = (sum(pair[place] is None for pair in pairs) for place in (0, 1))
    assert len(pairs) >= (4 if seeds <= 6 else 3)
    assert lost <= won
    if not lost and not won:
        error = statistics.stdev(both) / math.sqrt(len(both))
        assert statistics.fmean(both) > 2 * error * (1 - 1e-9)
    others = [lead(values[other], values[START], maximize) for other in candidates(values)]
    assert lead(values[name], values[START], maximize).mean == max(o.mean for o in others if o.replaces(seeds))


@given(races())
def test_minimising_is_the_mirror_image(race: tuple[dict[str, list[float | None]], int]) -> None:
    values, seeds = race
    mirrored = {name: [value if value is None else -value for value in own] for name, own in values.items()}
    names = candidates(values)
    assert handed_over(values, names, seeds, True) == handed_over(mirrored, names, seeds, False)
    assert still_racing(values, names, True) == still_racing(mirrored, names, False)


@given(st.floats(-1e3, 1e3), st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(1e-3, 1e3))
def test_units_do_not_matter(shift: float, gains: list[float], factor: float) -> None:
    one, other = Lead(tuple(gains)), Lead(tuple(factor * gain for gain in gains))
    assert other.mean == pytest.approx(factor * one.mean, rel=1e-6, abs=1e-6)
    assert other.error == pytest.approx(factor * one.error, rel=1e-6, abs=1e-6)


def gains_with(ratio: float, pairs: int) -> list[float]:
    """Gains whose mean is `ratio` standard errors above zero."""
    base = [1.0 if number % 2 else -1.0 for number in range(pairs)]
    error = statistics.stdev(base) / math.sqrt(pairs)
    return [value - statistics.fmean(base) + ratio * error for value in base]


@pytest.mark.parametrize(
    ("pairs", "seeds", "ratio", "replaced"),
    [
        (6, 6, 2.01, True), (6, 6, 1.99, False), (4, 4, 2.01, True), (4, 6, 2.01, True), (3, 6, 50.0, False),
        (3, 7, 2.01, True), (3, 7, 1.99, False), (2, 7, 50.0, False), (12, 12, 2.01, True), (12, 12, -5.0, False),
    ],
)  # fmt: skip
def test_two_standard_errors_and_the_fewest_pairs_are_the_boundary(
    pairs: int, seeds: int, ratio: float, replaced: bool
) -> None:
    values = {START: [50.0] * pairs, "incumbent": [50.0 + gain for gain in gains_with(ratio, pairs)]}
    assert handed_over(values, ["incumbent"], seeds, True) == ("incumbent" if replaced else START)


@pytest.mark.parametrize(
    ("candidate", "start", "replaced"),
    [
        ([1.0] * 6, [None] * 6, True),  # the start never has a value
        ([1.0] * 3, [None] * 3, False),
        ([None] * 6, [None] * 6, False),
        ([None, *[9.0] * 5], [1.0] * 6, False),  # one divergence that the start does not have
        ([2.0] * 6, [None, None, 1.0, 1.0, 1.0, 1.0], True),
        ([1.1, 0.9, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, None], False),  # one divergence shows little
        ([1.1, 0.9, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, None, None, None, None], True),
        ([1.0] * 6, [1.0] * 6, False),  # the same to the last bit
        ([1.0 + 1e-15] * 6, [1.0] * 6, False),
        ([2.0] * 6, [1.0] * 6, True),
    ],
)
def test_divergence_counts_against_whoever_diverges(
    candidate: list[float | None], start: list[float | None], replaced: bool
) -> None:
    assert handed_over({START: start, "incumbent": candidate}, ["incumbent"], 6, True) == (
        "incumbent" if replaced else START
    )


def test_one_divergence_of_twelve_outweighs_any_gain() -> None:
    values: dict[str, list[float | None]] = {START: [1.0] * 12, "incumbent": [None, *[9.0] * 11]}
    assert handed_over(values, ["incumbent"], 12, True) == START


def test_of_two_that_may_replace_the_start_the_better_one_does() -> None:
    values: dict[str, list[float | None]] = {START: [1.0] * 6, "incumbent": [2.0] * 6, "runner-up": [2.5] * 6}
    assert handed_over(values, ["incumbent", "runner-up"], 6, True) == "runner-up"
    assert handed_over(values, ["incumbent", "runner-up"], 6, False) == START
    assert handed_over(values, ["incumbent"], 6, True) == "incumbent"


@pytest.mark.parametrize(
    ("incumbent", "runner_up", "left"),
    [
        ([2.0, 2.0], [0.0, 0.0], ["incumbent", "runner-up"]),  # too early to tell
        ([2.0, 2.1, 1.9], [0.0, 0.1, 0.2], ["incumbent"]),  # not ahead of the start
        ([2.0, 2.1, 1.9], [1.2, 1.4, 1.1], ["incumbent"]),  # ahead of the start, behind the incumbent
        ([1.2, 1.4, 1.1], [2.0, 2.1, 1.9], ["runner-up"]),
        ([2.0, 2.1, 1.9], [1.0, 3.1, 1.9], ["incumbent", "runner-up"]),
        ([None], [2.0], ["runner-up"]),
        ([0.0, 0.5, 0.9], [0.0, 0.9, 0.5], []),
    ],
)
def test_the_hopeless_are_dropped(
    incumbent: list[float | None], runner_up: list[float | None], left: list[str]
) -> None:
    values = {START: [1.0] * len(incumbent), "incumbent": incumbent, "runner-up": runner_up}
    assert still_racing(values, ["incumbent", "runner-up"], True) == left


def test_very_large_values_overflow_nothing() -> None:
    values: dict[str, list[float | None]] = {START: [1e306, 2e306, 1.5e306, 1e306], "incumbent": [9e306] * 4}
    found = lead(values["incumbent"], values[START], True)
    assert math.isfinite(found.mean)
    assert math.isfinite(found.error)
    assert handed_over(values, ["incumbent"], 6, True) == "incumbent"


def false_replacements(seeds: int, gain: float, races: int) -> float:
    """The share of races in which one of two candidates, both `gain` standard deviations better, replaces the start."""
    noise, replaced = random.Random(0), 0
    for _ in range(races):
        values: dict[str, list[float | None]] = {START: [], "incumbent": [], "runner-up": []}
        racing = ["incumbent", "runner-up"]
        for _ in range(seeds):
            for name in (START, *racing):
                values[name].append(noise.gauss(0.0 if name == START else gain, 1.0))
            racing = still_racing(values, racing, True)
            if not racing:
                break
        replaced += handed_over(values, racing, seeds, True) != START
    return replaced / races


def test_chance_alone_seldom_replaces_the_start() -> None:
    assert false_replacements(6, 0.0, 1500) < 0.13
    assert false_replacements(6, -0.5, 1500) < 0.04
    assert false_replacements(6, 2.0, 300) > 0.9


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_fewer_seeds_than_can_decide_are_refused(seeds: int) -> None:
    with refused(ConfigError, "confirm"):
        Limits(confirm=seeds)
    assert needed_pairs(seeds) > seeds
    assert Limits(confirm=0).confirm == 0
    assert Limits(confirm=4).confirm == 4
