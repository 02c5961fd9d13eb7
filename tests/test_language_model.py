"""benchmarks/search/language_model.py: the shape that its docstring promises."""

from __future__ import annotations

import math

import pytest

from benchmarks.search.language_model import UNTRAINED, loss, lowest_loss, optimum

LR, BATCH = optimum()


def above(lr: float = LR, batch: float = BATCH) -> float:
    """Nats above the lowest loss."""
    return loss(lr, batch) - lowest_loss()


def test_the_optimum_is_lowest_and_an_octave_costs_what_is_said() -> None:
    assert above() == pytest.approx(0.0, abs=1e-12)
    assert [above(LR * 2.0**x) for x in (-1, 1)] == pytest.approx([0.005, 0.005], rel=0.01)
    assert [above(LR * 2.0 ** (0.3 * y), BATCH * 2.0**y) for y in (-1, 1)] == pytest.approx([0.0025, 0.0025], rel=0.01)
    best_of = {y: min(range(-400, 401), key=lambda x: above(LR * 2.0 ** (x / 100), BATCH * 2.0**y)) for y in (-3, 2)}
    assert best_of == {-3: -90, 2: 60}  # hundredths of an octave: lr ∝ batch^0.3


def test_too_high_a_rate_diverges_and_a_low_one_ends_at_an_untrained_network() -> None:
    assert loss(LR * 2.0**4.1, BATCH) == math.inf
    assert loss(LR * 2.0**3.9, BATCH) < math.inf
    falling = [loss(LR * 2.0**-x, BATCH) for x in range(60)]
    assert falling == sorted(falling)
    assert falling[-1] == pytest.approx(UNTRAINED)
    assert above(LR / 2**8) > 64 * 0.005  # more than the square
