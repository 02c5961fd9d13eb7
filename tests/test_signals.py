"""What a run tells besides its accuracy: known answers on planted signals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.signals.page import by_length, conclusion
from benchmarks.signals.signals import SIGNALS, Runs, added, intervals, rank_correlations, transferred


def planted(seed: int) -> Runs:
    """Worths, an accuracy and a second signal, each with noise of its own, and a third that repeats the accuracy."""
    random = np.random.default_rng(seed)
    worth = random.standard_normal(400)
    signals = random.standard_normal((400, len(SIGNALS)))
    signals[:, 0] += worth
    signals[:, 1] += worth
    signals[:, 2] = signals[:, 0] + 0.01 * signals[:, 2]
    return Runs(signals, worth)


def test_a_planted_signal_adds_to_the_accuracy_and_its_copy_adds_nothing() -> None:
    runs = planted(0)
    alone, beyond = rank_correlations(runs), added(runs)
    assert alone[0] == pytest.approx(0.7, abs=0.1)
    assert alone[1] == pytest.approx(0.7, abs=0.1)
    assert beyond[1] > 0.4
    assert abs(beyond[2]) < 0.15
    assert abs(beyond[3]) < 0.15
    assert np.isnan(beyond[0])


def test_intervals_hold_the_estimate() -> None:
    runs = planted(1)
    (low, high), (low_added, high_added) = intervals(runs)
    assert (low <= rank_correlations(runs)).all()
    assert (rank_correlations(runs) <= high).all()
    assert low_added[1] <= added(runs)[1] <= high_added[1]


def test_what_one_lattice_teaches_helps_on_another_where_the_signal_is_there() -> None:
    learnt, used = planted(2), planted(3)
    assert transferred(learnt, used, [0, 1]) > rank_correlations(used)[0] + 0.05
    assert transferred(learnt, used, [0]) == pytest.approx(rank_correlations(used)[0])


def test_the_conclusion_counts_transfers_either_way() -> None:
    moved = {
        ("a", "b"): [0.5, 0.6, 0.4, *[0.5] * (len(SIGNALS) - 3)],
        ("b", "a"): [0.5, 0.7, 0.6, *[0.5] * (len(SIGNALS) - 3)],
    }
    first, second = list(SIGNALS)[1:3]
    lines = conclusion(moved)
    assert any(f"*{first}* beside the accuracy: better in 2 of 2 transfers, worse in 0" in line for line in lines)
    assert any(f"*{second}* beside the accuracy: better in 1 of 2 transfers, worse in 1" in line for line in lines)


def test_what_signals_add_where_runs_are_longest_is_told_beside_the_others() -> None:
    found = {"short": planted(4), "long": planted(5)}
    lines = by_length(found, {"short": 6, "long": 80})
    number = list(SIGNALS).index("timescales")
    here, there = (float(added(found[name])[number]) for name in ("long", "short"))
    assert f"*timescales* adds {here:+.2f} [" in lines[-1]
    assert f"(80 epochs), {there:+.2f} on short (6)." in lines[-1]
    assert by_length(found, {"short": 6, "long": 6}) == []
