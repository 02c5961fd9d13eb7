"""The edge-of-stability metric: a known answer, its limits, and that the running form is the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.training.edge_metric import VARIANTS, EdgeOfStability, Running
from tests.refused import refused

LOSSES = st.lists(st.floats(-50, 50), min_size=1, max_size=60)
SETTINGS = st.builds(
    EdgeOfStability,
    variant=st.sampled_from(VARIANTS),
    kappa=st.floats(1e-3, 1e3),
    window=st.integers(1, 8),
)


def falling(count: int) -> list[float]:
    return [1.0 / (1 + n) for n in range(count)]


def values(losses: list[float], rates: list[float], settings: EdgeOfStability | None = None) -> list[float]:
    """The running metric after every evaluation, nan as long as there is none."""
    running = Running(settings or EdgeOfStability())
    found = [running.add(loss, rate) for loss, rate in zip(losses, rates, strict=True)]
    return [math.nan if value is None else value for value in found]


def by_definition(losses: list[float], rates: list[float], settings: EdgeOfStability) -> list[float]:
    """Σ κ^t·m_t / Σ κ^t at every evaluation, each sum from scratch, nan as long as there is no term."""
    w, terms, found = settings.window, list[float](), list[float]()
    for t in range(len(losses)):
        if t >= w:
            mean, before = np.mean(losses[t - w + 1 : t + 1]), np.mean(losses[t - w : t])
            reward = -mean if settings.variant == "sign" else before - mean
            terms.append(float(reward if rates[t] > rates[t - 1] else mean))
        logs = np.arange(len(terms)) * math.log(settings.kappa)
        weights = np.exp(logs - max(logs, default=0.0))
        found.append(float(weights @ terms / weights.sum()) if terms else math.nan)
    return found


def test_a_run_worked_out_by_hand() -> None:
    losses, rates = [4.0, 2.0, 6.0, 8.0, 1.0], [0.1, 0.2, 0.3, 0.2, 0.1]
    # L̄ = 3, 4, 7, 4.5 at t = 2 … 5; terms at t = 3, 4, 5; the rate rises at 3 only
    sign = values(losses, rates, EdgeOfStability("sign", kappa=2.0, window=2))
    assert sign[2:] == pytest.approx([-4.0, (-4 + 2 * 7) / 3, (-4 + 2 * 7 + 4 * 4.5) / 7])
    assert np.isnan(sign[:2]).all()
    difference = values(losses, rates, EdgeOfStability("difference", kappa=2.0, window=2))
    assert difference[2:] == pytest.approx([-1.0, (-1 + 2 * 7) / 3, (-1 + 2 * 7 + 4 * 4.5) / 7])


def test_200_evaluations_have_195_terms() -> None:
    assert np.isnan(values([1.0] * 200, [1.0] * 200)).sum() == 5 == EdgeOfStability().first - 1
    one = [0.0] * 199 + [1.0]  # the last loss has weight κ^194 where the first term has 1
    weights = 1.05 ** np.arange(195.0)
    last = values(one, falling(200), EdgeOfStability(kappa=1.05, window=5))[-1]
    assert last == pytest.approx(weights[-1] / 5 / weights.sum())


@given(LOSSES, SETTINGS, st.data())
def test_the_running_form_is_the_definition(
    losses: list[float], settings: EdgeOfStability, data: st.DataObject
) -> None:
    rates = data.draw(st.lists(st.floats(0, 1), min_size=len(losses), max_size=len(losses)))
    found, defined = values(losses, rates, settings), by_definition(losses, rates, settings)
    assert found == pytest.approx(defined, abs=1e-9, nan_ok=True)


@given(st.lists(st.floats(-50, 50), min_size=9, max_size=60), st.integers(1, 8), st.sampled_from(VARIANTS))
def test_with_a_large_kappa_it_is_the_windowed_final_loss(losses: list[float], window: int, variant: str) -> None:
    found = values(losses, falling(len(losses)), EdgeOfStability(variant, 1e12, window))[-1]
    assert found == pytest.approx(np.mean(losses[-window:]), abs=1e-6)


@given(LOSSES, SETTINGS)
def test_while_the_rate_rises_a_higher_loss_is_rewarded(losses: list[float], settings: EdgeOfStability) -> None:
    rates = [float(n) for n in range(len(losses))]
    found = values(losses, rates, settings)[-1]
    assert math.isnan(found) or values([*losses[:-1], losses[-1] + 1.0], rates, settings)[-1] <= found


@pytest.mark.parametrize("kappa", [1e-300, 0.5, 1.1, 1e300])
def test_a_thousand_evaluations_do_not_overflow(kappa: float) -> None:
    losses = [1.0 + 1.0 / (1 + n) for n in range(1000)]
    assert 1.0 < values(losses, falling(1000), EdgeOfStability(kappa=kappa, window=1))[-1] < 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rises", [True, False])
def test_a_loss_that_is_not_finite_is_never_a_reward(bad: float, rises: bool) -> None:
    found = values([1.0, 1.0, bad, 1.0, 1.0], sorted(falling(5), reverse=not rises), EdgeOfStability(window=1))
    assert found[2:] == [math.inf] * 3
    assert math.isfinite(found[1])


@pytest.mark.parametrize(
    ("key", "value"),
    [("variant", "plain"), ("kappa", 0.0), ("kappa", math.inf), ("window", 0), ("window", 1.5)],
)
def test_a_wrong_setting_is_refused(key: str, value: object) -> None:
    with refused(ConfigError, f"metric.{key}"):
        EdgeOfStability(**{key: value})  # type: ignore[arg-type]
