"""The edge-of-stability metric: known answers, its limits, and that the running form is the batch form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.training.edge_metric import VARIANTS, EdgeOfStability, Running, edge_metric

LOSSES = st.lists(st.floats(-50, 50), min_size=1, max_size=60)
SETTINGS = st.builds(
    EdgeOfStability,
    variant=st.sampled_from(VARIANTS),
    kappa=st.floats(1e-3, 1e3),
    window=st.integers(1, 8),
)


def falling(count: int) -> list[float]:
    return [1.0 / (1 + n) for n in range(count)]


def test_a_run_worked_out_by_hand() -> None:
    losses, rates = [4.0, 2.0, 6.0, 8.0, 1.0], [0.1, 0.2, 0.3, 0.2, 0.1]
    # L̄ = 3, 4, 7, 4.5 at t = 2 … 5; terms at t = 3, 4, 5; the rate rises at 3 only
    sign = edge_metric(losses, rates, EdgeOfStability("sign", kappa=2.0, window=2))
    assert sign.tolist()[2:] == pytest.approx([-4.0, (-4 + 2 * 7) / 3, (-4 + 2 * 7 + 4 * 4.5) / 7])
    assert np.isnan(sign[:2]).all()
    difference = edge_metric(losses, rates, EdgeOfStability("difference", kappa=2.0, window=2))
    assert difference.tolist()[2:] == pytest.approx([-1.0, (-1 + 2 * 7) / 3, (-1 + 2 * 7 + 4 * 4.5) / 7])


def test_200_evaluations_have_195_terms_as_in_the_source() -> None:
    values = edge_metric([1.0] * 200, [1.0] * 200)
    assert np.isnan(values).sum() == 5
    assert EdgeOfStability().first == 6
    one = [0.0] * 199 + [1.0]  # the last loss weighs κ^194 beside the first term's 1
    last = edge_metric(one, falling(200), EdgeOfStability(kappa=1.05, window=5))[-1]
    weights = 1.05 ** np.arange(195.0)
    assert last == pytest.approx(weights[-1] / 5 / weights.sum())


@given(LOSSES, SETTINGS, st.data())
def test_the_running_form_is_the_batch_form(
    losses: list[float], settings: EdgeOfStability, data: st.DataObject
) -> None:
    rates = data.draw(st.lists(st.floats(0, 1), min_size=len(losses), max_size=len(losses)))
    running = Running(settings)
    told = [running.add(loss, rate) for loss, rate in zip(losses, rates, strict=True)]
    batch = edge_metric(losses, rates, settings)
    assert [value is None for value in told] == np.isnan(batch).tolist()
    assert [value for value in told if value is not None] == pytest.approx(batch[~np.isnan(batch)].tolist(), abs=1e-9)


@given(
    st.lists(st.floats(-50, 50), min_size=9, max_size=60),
    st.integers(1, 8),
    st.sampled_from(VARIANTS),
    st.floats(0, 1),
)
def test_with_a_large_kappa_it_tends_to_the_windowed_final_loss(
    losses: list[float], window: int, variant: str, warmup: float
) -> None:
    """Whatever part of the run its warm-up is, as long as the rate falls at the last evaluation."""
    rising = int(warmup * (len(losses) - 2))  # the peak comes after it, and one lower rate at least
    rates = [(1.0 + n) / (1 + rising) for n in range(rising)] + falling(len(losses) - rising)
    value = edge_metric(losses, rates, EdgeOfStability(variant, 1e12, window))[-1]
    assert value == pytest.approx(np.mean(losses[-window:]), abs=1e-6)  # with window 1 the final loss itself
    if window == 1:
        assert value == pytest.approx(losses[-1], abs=1e-6)


@given(LOSSES, st.floats(0.5, 2.0), st.integers(1, 8))
def test_without_a_rise_of_the_rate_it_lies_between_the_means(losses: list[float], kappa: float, window: int) -> None:
    values = edge_metric(losses, falling(len(losses)), EdgeOfStability("sign", kappa, window))
    known = values[~np.isnan(values)]
    assert (known >= min(losses) - 1e-9).all()
    assert (known <= max(losses) + 1e-9).all()


@given(LOSSES, SETTINGS)
def test_while_the_rate_rises_a_higher_loss_is_rewarded(losses: list[float], settings: EdgeOfStability) -> None:
    rates = [float(n) for n in range(len(losses))]
    values = edge_metric(losses, rates, settings)
    if np.isnan(values[-1]):
        return
    higher = edge_metric([*losses[:-1], losses[-1] + 1.0], rates, settings)
    assert higher[-1] <= values[-1]


@pytest.mark.parametrize("kappa", [1e-300, 0.5, 1.1, 1e6, 1e300])
def test_a_thousand_evaluations_do_not_overflow(kappa: float) -> None:
    settings = EdgeOfStability(kappa=kappa, window=1)
    losses = [1.0 + 1.0 / (1 + n) for n in range(1000)]
    running = Running(settings)
    with np.errstate(all="raise", under="ignore"):
        for loss, rate in zip(losses, falling(1000), strict=True):
            running.add(loss, rate)
        batch = edge_metric(losses, falling(1000), settings)[-1]
    assert running.value is not None
    assert 1.0 < running.value < 2.0
    assert batch == pytest.approx(running.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rises", [True, False])
def test_a_loss_that_is_not_finite_is_never_a_reward(bad: float, rises: bool) -> None:
    losses = [1.0, 1.0, bad, 1.0, 1.0, 1.0]
    rates = sorted(falling(6), reverse=not rises)
    settings = EdgeOfStability(window=1)
    running = Running(settings)
    told = [running.add(loss, rate) for loss, rate in zip(losses, rates, strict=True)]
    batch = edge_metric(losses, rates, settings)
    assert told[2:] == [math.inf] * 4
    assert batch[2:].tolist() == [math.inf] * 4
    assert np.isfinite(batch[1])


def test_as_many_rates_as_losses() -> None:
    with pytest.raises(ValueError, match="must be"):
        edge_metric([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"variant": "plain"}, "metric.variant"),
        ({"kappa": 0.0}, "metric.kappa"),
        ({"kappa": -1.0}, "metric.kappa"),
        ({"kappa": math.inf}, "metric.kappa"),
        ({"window": 0}, "metric.window"),
        ({"window": 1.5}, "metric.window"),
    ],
)
def test_a_sentence_for_what_gives_no_metric(settings: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        EdgeOfStability(**settings)  # type: ignore[arg-type]
