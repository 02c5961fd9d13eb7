"""The analysis of sweeps: what was planted is found, others' studies are read, and too little gives sentences."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from flatdirs.analysis.clusters import clusters
from flatdirs.analysis.correlation import correlations, quadrants, rungs_of
from flatdirs.analysis.curves import shape
from flatdirs.analysis.divergence import divergence
from flatdirs.analysis.edge_of_stability import stabilities
from flatdirs.analysis.exploration import exploration
from flatdirs.analysis.gradients import gradient_norms, spikes
from flatdirs.analysis.importance import importances
from flatdirs.analysis.range_checks import edges, uniform_rates
from flatdirs.analysis.reading import fitting_chart, sweep_of
from flatdirs.analysis.records import Missing, Range, Run, Sweep
from flatdirs.curvature.record import CurvatureRecord
from flatdirs.errors import StudyError
from flatdirs.report.analysis import sections
from flatdirs.report.continuation import continuation
from flatdirs.space.library import named_chart
from tests.conftest import ROOT, Ended

Command = Callable[..., Ended]
CHART = named_chart("sgd")
LOG_RATE = FloatDistribution(1e-4, 1.0, log=True)


def sweep(runs: Sequence[Run], **more: Any) -> Sweep:
    """A sweep of these runs, numbered as they stand."""
    numbered = tuple(replace(run, number=number) for number, run in enumerate(runs))
    return Sweep("planted", False, "value", numbered, **{"chart": CHART, **more})


def run(loss: float | None, **more: Any) -> Run:
    """A finished run, or a diverged one without a loss."""
    hyperparameters = more.pop("hyperparameters", {"lr": 0.1, "momentum": 0.9, "wd": 1e-3})
    return Run(0, "diverged" if loss is None else "finished", hyperparameters, loss, loss, **more)


def place(u: float, v: float = 0.0, w: float = 0.0) -> dict[str, float]:
    """Hyperparameters u, v and w octaves away from lr=0.1, 1−momentum=0.1, wd=0.001."""
    return {"lr": 0.1 * 2**u, "momentum": 1 - 0.1 * 2**v, "wd": 1e-3 * 2**w}


def scattered(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Hyperparameters spread evenly over six octaves of lr and wd, three of 1−momentum."""
    draws = np.random.default_rng(seed).uniform((-3, -3, -3), (3, 0, 3), (count, 3))
    return [place(*map(float, row)) for row in draws]


def effective(hyperparameters: Mapping[str, float]) -> float:
    """log2 of lr·wd/(1−momentum) against `place(0)`."""
    return math.log2(
        CHART.coordinates(hyperparameters)["lr·wd/(1−momentum)"] / CHART.coordinates(place(0))["lr·wd/(1−momentum)"]
    )


def test_rungs_are_the_sources() -> None:
    assert rungs_of(200) == (25, 50, 100, 200)
    assert rungs_of(1) == (1,)


def test_planted_correlations_are_found_at_their_rungs() -> None:
    final = np.random.default_rng(0).permutation(40).astype(float)
    noise = np.random.default_rng(1).permutation(40).astype(float)
    runs = [
        run(loss, losses=((10, other), (20, loss + 5.0)), metrics=((20, -loss),))
        for loss, other in zip(final, noise, strict=True)
    ]
    found = correlations(sweep(runs, metric="edge_of_stability"))
    assert not isinstance(found, Missing)
    first, last = found
    assert (first.evaluation, first.step, last.evaluation, last.step) == (1, 10, 2, 20)
    assert first.metric is None
    assert first.loss is not None
    assert first.loss.low < first.loss.value < first.loss.high
    assert first.loss.low < 0 < first.loss.high
    assert last.loss is not None
    assert last.metric is not None
    assert (last.loss.value, last.loss.low, last.metric.value) == pytest.approx((1, 1, -1))


def test_a_rung_counts_evaluations_and_one_beyond_the_last_is_said_so() -> None:
    runs = [run(float(i), losses=tuple((5 * n, i + 1 / n) for n in range(1, 5))) for i in range(6)]
    found = correlations(sweep(runs), rungs=[2, 50])
    assert not isinstance(found, Missing)
    assert [(rung.evaluation, rung.step) for rung in found] == [(2, 10)]
    beyond = correlations(sweep(runs), rungs=[25])
    assert isinstance(beyond, Missing)
    assert "change rungs" in beyond.sentence


def test_constant_losses_have_no_correlation() -> None:
    found = correlations(sweep([run(float(i), losses=((1, 2.0),)) for i in range(6)]))
    assert not isinstance(found, Missing)
    assert found[0].loss is not None
    assert math.isnan(found[0].loss.value)


def test_quadrants_hold_whom_they_should() -> None:
    planted = {(True, True): 4, (True, False): 2, (False, True): 2, (False, False): 4}
    runs = [
        run(1.0 if low_loss else 2.0, metrics=((1, 1.0 if low_metric else 2.0),), hyperparameters=place(i))
        for i, ((low_loss, low_metric), count) in enumerate(planted.items())
        for _ in range(count)
    ]
    found = quadrants(sweep(runs, metric="m"))
    assert not isinstance(found, Missing)
    assert {(one.low_loss, one.low_metric): len(one.runs) for one in found.quadrants} == planted
    assert [one.centre["lr"] for one in found.quadrants] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert (found.median_loss, found.median_metric) == (1.5, 1.5)
    assert isinstance(quadrants(sweep(runs)), Missing)


def test_planted_clusters_are_found_with_their_centres_in_users_units() -> None:
    rng = np.random.default_rng(0)
    centres = [place(-6, 0, 4), place(0, -3, 0), place(5, 2, -5)]
    runs = [
        run(float(i), hyperparameters=place(*(at + rng.normal(0, 0.2, 3))))
        for i, at in enumerate([(-6, 0, 4), (0, -3, 0), (5, 2, -5)])
        for _ in range(10)
    ]
    found = clusters(sweep(runs))
    assert not isinstance(found, Missing)
    assert found.clear
    assert [len(one.runs) for one in found.clusters] == [10, 10, 10]
    for one, centre in zip(found.clusters, centres, strict=True):
        assert one.centre["lr"] == pytest.approx(centre["lr"], rel=0.15)
        assert 1 - one.centre["momentum"] == pytest.approx(1 - centre["momentum"], rel=0.15)
        assert one.spread < 1


def test_runs_spread_evenly_are_no_clear_clusters() -> None:
    found = clusters(sweep([run(float(i), hyperparameters=h) for i, h in enumerate(scattered(60))]))
    assert not isinstance(found, Missing)
    assert not found.clear


def test_a_search_that_narrows_is_seen_to() -> None:
    rng = np.random.default_rng(0)
    wide = [run(10.0 + i, hyperparameters=place(*rng.uniform(-4, 0, 3))) for i in range(15)]
    top = run(1.0, hyperparameters=place(0))
    near = [run(2.0, hyperparameters=place(*rng.normal(0, 0.05, 3))) for _ in range(15)]
    found = exploration(sweep([*wide, top, *near]))
    assert not isinstance(found, Missing)
    assert found.narrowing is not None
    assert found.narrowing.high < 0
    assert found.quarters[0].to_best > 10 * found.quarters[-1].to_best
    assert found.quarters[0].novelty > 10 * found.quarters[-1].novelty
    assert (found.quarters[0].first, found.quarters[-1].last) == (2, 31)


def test_distances_are_octaves() -> None:
    runs = [
        run(2.0, hyperparameters=place(0)),
        run(1.0, hyperparameters=place(3)),
        run(3.0, hyperparameters=place(1, 1)),
    ]
    found = exploration(sweep([*runs, *[run(9.0, hyperparameters=place(0))] * 5]))
    assert not isinstance(found, Missing)
    assert found.novelty[:2] == pytest.approx((3, math.sqrt(2)))
    assert found.to_best[:2] == pytest.approx((3, math.sqrt(5)))


def test_the_shape_of_a_drawn_curve_is_read_off() -> None:
    def drawn(x: float) -> float:
        if x <= 0.1:
            return 1.0
        return 1.0 - 4 * (x - 0.1) if x <= 0.55 else -0.8 + (1 - x) ** 2 * 0.2 / 0.45**2 - 0.2

    losses = tuple((step, math.exp(drawn(step / 200))) for step in range(1, 201))
    found = shape(sweep([run(math.exp(-1), losses=losses)] * 3))
    assert not isinstance(found, Missing)
    assert found.logarithmic
    warmup, fall, end = found.best
    assert warmup.slope == pytest.approx(0, abs=1e-6)
    assert fall.slope == pytest.approx(-4, abs=0.01)
    assert fall.share == pytest.approx(0.45, abs=0.02)
    assert end.curvature == pytest.approx(2 * 0.2 / 0.45**2, rel=0.05)
    assert all(math.isnan(phase.slope) for phase in found.others)


@pytest.mark.slow
def test_a_planted_importance_is_found_in_raw_and_in_flat_coordinates() -> None:
    by_rate = importances(sweep([run(math.log2(h["lr"]) ** 2, hyperparameters=h) for h in scattered(50)]))
    steep = importances(sweep([run(effective(h) ** 2, hyperparameters=h) for h in scattered(50)]))
    assert not isinstance(by_rate, Missing)
    assert not isinstance(steep, Missing)
    assert steep.flat is not None
    assert by_rate.raw.fanova is not None
    assert steep.flat.fanova is not None
    assert steep.raw.fanova is not None
    for shares, name in (
        (by_rate.raw.ped_anova, "lr"),
        (by_rate.raw.fanova, "lr"),
        (steep.flat.ped_anova, "lr·wd/(1−momentum)"),
        (steep.flat.fanova, "lr·wd/(1−momentum)"),
    ):
        assert shares[name] > 0.7
        assert sum(shares.values()) == pytest.approx(1)
    assert max(steep.raw.fanova.values()) < 0.7  # along the flat directions the hyperparameters share it


def test_equal_losses_and_few_runs_have_no_importances() -> None:
    few = importances(sweep([run(float(i), hyperparameters=h) for i, h in enumerate(scattered(9))]))
    equal = importances(sweep([run(1.0, hyperparameters=h) for h in scattered(12)]))
    assert isinstance(few, Missing)
    assert isinstance(equal, Missing)
    assert "same loss" in equal.sentence


def test_the_coordinate_that_parts_the_diverged_is_found_with_its_threshold() -> None:
    runs = [run(1.0 if effective(h) < 1.0 else None, hyperparameters=h) for h in scattered(80)]
    found = divergence(sweep(runs))
    assert not isinstance(found, Missing)
    best = found.thresholds[0]
    assert (best.coordinate, best.flat, best.auc, best.above, best.wrong) == ("lr·wd/(1−momentum)", True, 1.0, True, 0)
    inside, outside = found.flat["lr·wd/(1−momentum)"]
    assert outside is not None
    assert outside[1] < best.value < inside[0]
    assert all(one.auc < 1 for one in found.thresholds[1:])
    assert {one.coordinate for one in found.thresholds} == {"lr·wd/(1−momentum)", "lr", "1−momentum", "wd"}


def test_small_values_can_diverge_too() -> None:
    runs = [run(1.0 if h["wd"] > 1e-3 else None, hyperparameters=h) for h in scattered(40)]
    found = divergence(sweep(runs))
    assert not isinstance(found, Missing)
    assert (found.thresholds[0].coordinate, found.thresholds[0].above) == ("wd", False)


def test_gradient_norms_are_binned_and_their_spikes_counted() -> None:
    rates = np.concatenate([np.full(100, 0.01), np.full(100, 0.1), np.full(5, 1.0)])
    norms = 1 / rates
    norms[[20, 60, 150]] *= 10
    norms[30] = math.nan
    runs = [run(1.0, learning_rates=tuple(rates), gradient_norms=tuple(norms)), run(2.0)]
    found = gradient_norms(sweep(runs))
    assert not isinstance(found, Missing)
    assert [one.steps for one in found.bins] == [99, 100, 5]
    assert [one.thin for one in found.bins] == [False, False, True]
    assert [one.median for one in found.bins] == pytest.approx([100, 10, 1])
    assert found.bins[0].low <= 0.01 < found.bins[0].high
    assert [one.spikes for one in found.bins] == pytest.approx([2 / 99, 1 / 100, 0])
    assert (found.left_out, found.steps, found.runs) == (1, 204, 1)
    assert isinstance(gradient_norms(sweep([run(1.0)])), Missing)


def watched(*ratios: float) -> tuple[CurvatureRecord, ...]:
    """Records with these ratios, a threshold of 20 and an alignment of −½."""
    return tuple(
        CurvatureRecord(10 * step, 0.1, 1.0, 2.0, 20 * ratio, 20.0, ratio, -0.5, 1e-6, 9)
        for step, ratio in enumerate(ratios, 1)
    )


def test_runs_are_told_from_the_edge_by_their_second_halves_the_best_first() -> None:
    runs = [
        run(0.3, curvature=watched(2.0, 0.2, 0.4, 0.6)),
        run(None, curvature=watched(1.0, 1.5, math.nan)),
        run(0.1, curvature=watched(0.1, 0.1, 1.0, 1.1)),
        run(0.2),
        run(0.4, curvature=watched(math.nan)),
    ]
    found = stabilities(sweep(runs))
    assert not isinstance(found, Missing)
    assert [one.run.number for one in found] == [2, 0, 4, 1]
    assert [one.where for one in found] == ["on it", "below", "not known", "beyond"]
    assert (found[0].ratio, found[0].sharpness, found[0].alignment) == pytest.approx((1.05, 21.0, 0.5))
    assert [one.highest for one in found[:2]] == [1.1, 2.0]
    assert math.isnan(found[2].highest)
    assert [one.run.number for one in stabilities(replace(sweep(runs), maximize=True))] == [4, 0, 2, 1]  # type: ignore[union-attr]
    assert isinstance(stabilities(sweep([run(0.2)])), Missing)


def test_a_slow_drift_is_no_spike() -> None:
    assert not spikes(np.geomspace(1, 1000, 500)).any()


@pytest.mark.parametrize(
    ("searched", "warned"),
    [
        (Range("lr", 0.0, 1.0, False), True),
        (Range("lr", 1e-3, 1.0, False), True),
        (Range("wd", 1e-3, 9e-3, False), False),
        (Range("lr", 1e-5, 1.0, True), False),
        (Range("momentum", 0.0, 1.0, False), False),
        (Range("one_minus_momentum", 0.01, 1.0, False), True),
        (Range("dropout_rate", 0.0, 0.5, False), False),
        (Range("head_lr", 1e-4, 0.1, False), True),
    ],
)
def test_uniform_rates_over_a_decade_are_warned_about(searched: Range, warned: bool) -> None:
    assert bool(uniform_rates(sweep([], ranges=(searched,)))) == warned


@pytest.mark.parametrize(
    ("searched", "value", "wider"),
    [
        (Range("lr", 1e-3, 1.0, True), 0.9, (1e-3, 10.0)),
        (Range("lr", 1e-3, 1.0, True), 1.1e-3, (1e-4, 1.0)),
        (Range("lr", 1e-3, 1.0, True), 0.5, None),
        (Range("lr", 0.0, 1.0, False), 0.97, (0.0, 10.0)),
        (Range("lr", 1e-30, 1e30, True), 1e29, None),
        (Range("momentum", 0.5, 0.99, False), 0.99, (0.5, 0.999)),
        (Range("momentum", 0.0, 1.0, False), 0.0, None),
        (Range("one_minus_momentum", 0.01, 1.0, True), 0.01, (0.001, 1.0)),
        (Range("one_minus_momentum", 0.01, 1.0, True), 1.0, None),
        (Range("batch_size", 1.0, 64.0, True), 1.0, None),
    ],
)
def test_a_best_at_the_edge_gets_a_wider_range(
    searched: Range, value: float, wider: tuple[float, float] | None
) -> None:
    name = {"lr": "lr"}.get(searched.name, searched.name)
    hyperparameters = {"momentum": 1 - value} if name == "one_minus_momentum" else {name: value}
    found = edges(sweep([run(1.0, hyperparameters=hyperparameters)], ranges=(searched,)))
    assert [(edge.wider.low, edge.wider.high) for edge in found] == ([] if wider is None else [pytest.approx(wider)])


def test_others_are_told_what_to_suggest() -> None:
    searched = Range("lr", 1e-3, 1.0, True)
    one = sweep([run(1.0, hyperparameters={"lr": 1.0})], ranges=(searched,))
    line = continuation(one, edges(one), Path("studies"))
    assert line == 'go on with trial.suggest_float("lr", 0.001, 10, log=True)'


def test_a_slice_goes_on_as_a_slice() -> None:
    searched = Range("lr", 1e-3, 0.1, True)
    one = sweep([run(1.0)], ranges=(searched,), identity={"slice": {}})
    assert "x_steps" in continuation(one, edges(one), Path("studies"))


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ({"lr", "momentum", "wd"}, ["lr·wd/(1−momentum)", "1−momentum", "wd"]),
        ({"lr", "beta1", "wd"}, ["lr·wd", "wd", "1−beta1"]),
        ({"lr", "wd"}, ["lr·wd", "wd"]),
        ({"lr", "momentum"}, ["lr/(1−momentum)", "1−momentum"]),
        ({"lr", "batch_size"}, ["lr/batch_size", "N"]),
        ({"lr", "momentum", "wd", "batch_size"}, ["lr·wd/((1−momentum)·batch_size)", "1−momentum", "wd", "N"]),
    ],
)
def test_the_chart_fits_what_was_searched(names: set[str], axes: list[str]) -> None:
    chart = fitting_chart(names)
    assert chart is not None
    assert [axis.name for axis in chart.axes] == axes


def test_no_chart_fits_a_rate_alone() -> None:
    assert fitting_chart({"lr", "dropout"}) is None
    assert fitting_chart(set()) is None


def foreign(storage: Any, name: str = "theirs", count: int = 24) -> optuna.Study:
    """A study as others make them: lr and wd, losses as intermediate values, pruned, failed and categorical ones."""
    study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
    spaces = {
        "lr": FloatDistribution(0.0, 1.0),
        "wd": FloatDistribution(1e-6, 1e-2, log=True),
        "optimizer": CategoricalDistribution(["sgd", "adam"]),
    }
    rng = np.random.default_rng(0)
    for i in range(count):
        params = {"lr": float(rng.uniform(0.01, 1)), "wd": float(10 ** rng.uniform(-6, -2)), "optimizer": "sgd"}
        final = abs(math.log(params["lr"])) + 0.1
        values = {10 * n: final + 1.0 / n for n in range(1, 9)}
        more: dict[str, Any] = {"value": final, "intermediate_values": values}
        if params["lr"] > 0.8:
            more = {"state": TrialState.FAIL}
        elif i % 5 == 4:
            more = {"state": TrialState.PRUNED, "intermediate_values": {10: values[10]}}
        study.add_trial(create_trial(params=params, distributions=spaces, **more))
    return study


def test_a_study_by_others_is_read() -> None:
    read = sweep_of(foreign(optuna.storages.InMemoryStorage()))
    states = [one.state for one in read.runs]
    assert {state: states.count(state) > 0 for state in ("finished", "pruned", "diverged")} == dict.fromkeys(
        ("finished", "pruned", "diverged"), True
    )
    assert set(read.runs[0].hyperparameters) == {"lr", "wd"}
    assert read.chart is not None
    assert [axis.name for axis in read.chart.axes] == ["lr·wd", "wd"]
    assert read.evaluations == tuple(range(10, 90, 10))
    assert (read.metric, read.judged_by) == (None, "value")
    (sentence,) = uniform_rates(read)
    assert sentence.startswith("lr is drawn uniformly from 0 to 1: 90 % of its draws")


def test_accuracies_are_turned_round_and_a_pruned_run_that_blew_up_has_diverged() -> None:
    study = optuna.create_study(direction="maximize")
    spaces = {"lr": LOG_RATE}
    for rate, accuracy in ((0.1, 90.0), (0.2, 95.0)):
        values = {1: accuracy - 10}
        params = {"lr": rate}
        study.add_trial(create_trial(params=params, distributions=spaces, value=accuracy, intermediate_values=values))
    blown = {"state": TrialState.PRUNED, "intermediate_values": {1: 10.0, 2: math.nan}}
    study.add_trial(create_trial(params={"lr": 1.0}, distributions=spaces, **blown))
    read = sweep_of(study)
    assert [one.loss for one in read.runs] == [-90.0, -95.0, None]
    assert read.runs[0].losses == ((1, -80.0),)
    assert read.runs[2].state == "diverged"
    assert read.best is not None
    assert read.best.value == 95.0


def test_a_metric_takes_the_place_of_the_intermediate_values() -> None:
    study = optuna.create_study(direction="minimize")
    study.set_user_attr("metric", "edge_of_stability")
    curve = [{"number": n, "loss": 3.0 - n} for n in (1, 2)]
    steps = {"lr": [0.1, 0.2], "gradient_norm": [1.0, None]}
    study.add_trial(
        create_trial(
            params={"lr": 0.1},
            distributions={"lr": LOG_RATE},
            value=-2.0,
            intermediate_values={1: -3.0, 2: -2.0},
            user_attrs={"curve": curve, "steps": steps},
        )
    )
    read = sweep_of(study)
    (one,) = read.runs
    assert read.metric == "edge_of_stability"
    assert one.metrics == ((1, -3.0), (2, -2.0))
    assert one.losses == ((1, 2.0), (2, 1.0))
    assert (one.value, one.loss) == (-2.0, 1.0)
    assert one.learning_rates == (0.1, 0.2)
    assert math.isnan(one.gradient_norms[1])
    assert read.warmup == 0.5


def test_a_wider_search_keeps_the_other_overrides() -> None:
    """A range that was uniform is log-uniform when it is wider."""
    searched = Range("lr", 1e-3, 1.0, False)
    command = ("search=random", "evaluate_every=4", "output=elsewhere", "study=narrow", "box.lr=[0.001,1,uniform]")
    one = sweep([run(1.0, hyperparameters={"lr": 0.99})], ranges=(searched,), identity={"search": {}}, command=command)
    words = shlex.split(continuation(one, edges(one), Path("my studies")))
    kept = ["search=random", "evaluate_every=4", 'output="my studies"', "box.lr=[0.001,10]"]
    assert words == ["flatdirs", "tune", *kept, f"study={one.name}-wider"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [({"name": "cosine", "warmup_epochs": 2.0}, 0.1), ({"name": "cdat"}, None), (None, 0.25)],
)
def test_the_warm_up_is_the_schedules_own_and_never_a_pruned_runs(
    schedule: dict[str, Any] | None, expected: float | None
) -> None:
    study = optuna.create_study(direction="minimize")
    keys = {"schedule": schedule} if schedule else {}
    study.set_user_attr(
        "flatdirs:identity", {"task": {"name": "digits", "epochs": 20}, "direction": "minimize", **keys}
    )
    for state, rates in ((TrialState.PRUNED, [0.1, 0.2, 0.3]), (TrialState.COMPLETE, [0.1, 0.3, 0.2, 0.1])):
        study.add_trial(
            create_trial(
                state=state,
                params={"lr": 0.3},
                distributions={"lr": LOG_RATE},
                value=2.0,
                intermediate_values={1: 2.0},
                user_attrs={"steps": {"lr": rates, "gradient_norm": [1.0] * len(rates)}},
            )
        )
    read = sweep_of(study)
    assert read.warmup == expected


def test_several_objectives_are_refused() -> None:
    with pytest.raises(StudyError, match="2 objectives"):
        sweep_of(optuna.create_study(directions=["minimize", "maximize"]))


HYPERPARAMETERS = st.fixed_dictionaries(
    {"lr": st.sampled_from([1e-3, 0.1, 1.0])},
    optional={
        "momentum": st.sampled_from([0.0, 0.9, 1.0]),
        "wd": st.sampled_from([0.0, 1e-3, 1e-2]),
        "batch_size": st.sampled_from([1.0, 64.0]),
    },
)
POINTS = st.lists(st.floats(-10, 10), max_size=8).map(lambda values: tuple(enumerate(values, start=1)))
RUNS = st.builds(
    lambda state, hyperparameters, value, losses, metrics: Run(
        0,
        state,
        hyperparameters,
        value if state == "finished" else None,
        value if state == "finished" else None,
        losses,
        metrics,
    ),
    st.sampled_from(["finished", "finished", "pruned", "diverged"]),
    HYPERPARAMETERS,
    st.sampled_from([0.0, 1.0, 2.5]),
    POINTS,
    POINTS,
)


@pytest.mark.slow
@settings(max_examples=10, phases=[Phase.generate])  # shrinking would draw hundreds of figures
@given(st.lists(RUNS, max_size=16), st.sampled_from([None, "edge_of_stability"]))
def test_whatever_is_missing_every_section_stands(runs: list[Run], metric: str | None) -> None:
    names = set.intersection(*(set(one.hyperparameters) for one in runs)) if runs else set()
    made = sections(sweep(runs, metric=metric, chart=fitting_chart(names)))
    assert len(made) == len({section.name for section in made}) == 10
    assert all(section.sentences for section in made)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_trials_give_sentences(count: int, tmp_path: Path, command: Command) -> None:
    foreign(f"sqlite:///{tmp_path / 'few.db'}", count=count)
    ended = command("analyze", f"storage.url={tmp_path / 'few.db'}", f"output={tmp_path / 'out'}")
    assert ended.code == 0, ended.err
    assert f"{count} run{'s' * (count != 1)}: " in ended.out
    assert "importances want 10 or more" in ended.out
    assert "no run recorded its learning rate and gradient norm" in ended.out


@pytest.mark.slow
def test_others_sqlite_is_analyzed_by_its_address(tmp_path: Path, command: Command) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    foreign(url)
    ended = command("analyze", "theirs", f"storage.url={url}", f"output={tmp_path / 'out'}", "rungs=[2,4]")
    assert ended.code == 0, ended.err
    assert "warning: lr is drawn uniformly from 0 to 1" in ended.out
    assert "diverged" in ended.out
    assert re.search(r"lr parts them best: above 0\.\d+ runs diverge, wrong for 0 of", ended.out)
    assert re.search(r"^ ?4 +40 .*\+1\.00", ended.out, re.MULTILINE)
    page = (tmp_path / "out/theirs/analysis.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]{22})', page)
    assert len(pictures) == len(list((tmp_path / "out/theirs/analysis").glob("*.png"))) >= 5
    assert all(source.startswith("data:image/png;base64") for source in pictures)
    assert "lr·wd" in page


@pytest.mark.slow
def test_others_journal_is_analyzed_by_its_path(tmp_path: Path, command: Command) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = tmp_path / "their journal.log"
    foreign(JournalStorage(JournalFileBackend(str(path))), "their/own", count=3)
    ended = command("analyze", f"storage.url='{path}'", f"output={tmp_path}")
    assert ended.code == 0, ended.err
    assert (tmp_path / "their_own/analysis.html").is_file()


@pytest.fixture(scope="module")
def two_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of two studies, and a file that is none."""
    folder = tmp_path_factory.mktemp("two")
    for name in "ab":
        foreign(f"sqlite:///{folder / 'two.db'}", name, 1)
    (folder / "other.txt").write_text("not a study\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no study nowhere in studies; change study or output"),
        (["study=nowhere"], "there is no study nowhere"),
        ([], "there is no study in studies"),
        (["storage.url=missing.db"], "there is no file missing.db; change storage.url"),
        (["storage.url=sqlite:///missing.db"], "there is no file missing.db; change storage.url"),
        (["nowhere", "storage.url=two.db"], "there is no study nowhere here (a, b)"),
        (["storage.url=two.db"], "storage.url holds 2 studies (a, b); set study to one"),
        (["a", "b", "storage.url=two.db", "rungs=soon"], "rungs=soon must be a list; change rungs"),
        (
            ["a", "b", "storage.url=two.db", "rungs=[0]"],
            "rungs=[0] must hold numbers of evaluations, from 1; change rungs",
        ),
        (["storage.url=other.txt"], "is not a journal"),
    ],
)
def test_what_cannot_be_read_is_refused(
    arguments: list[str], said: str, two_studies: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(two_studies)
    ended = command("analyze", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert not Path("missing.db").exists()


@pytest.mark.slow
def test_a_real_search_is_analyzed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(tmp_path)
    tune = ["search=random", "task=digits", "task.epochs=1", "budget=6", "confirm=0", "live=false"]
    assert command("tune", *tune).code == 0
    ended = command("analyze")
    assert ended.code == 0, ended.err
    assert "Study digits-random" in ended.out
    assert re.search(r"6 runs: \d finished, 0 pruned, \d diverged; loss below is the validation loss", ended.out)
    page = (tmp_path / "studies/digits-random/analysis.html").read_text(encoding="utf-8")
    assert "importances want 10 or more" in page


@pytest.mark.slow
def test_the_continuation_is_a_command_that_runs(workplace: Path, command: Command) -> None:
    """A search whose box ends below the hill's top says so, and its line goes on above."""
    function = f"task.function={next(workplace.glob('surface_*.py')).stem}:train"
    box = ["box.lr=[1e-4,1e-3]", "box.one_minus_momentum=[0.2,0.3]", "box.wd=[1e-3,2e-3]"]
    tune = [
        "task=callable",
        function,
        "search=random",
        "budget=12",
        "confirm=0",
        "live=false",
        "study=narrow",
        "seed=3",
    ]
    assert command("tune", *tune, *box).code == 0
    ended = command("analyze", "narrow")
    assert ended.code == 0, ended.err
    name, *words = shlex.split(re.findall(r"^flatdirs (.*)$", ended.out, re.MULTILINE)[0])
    assert "box.lr=[0.0001,0.01]" in words
    assert {"search=random", "seed=3", "study=narrow-wider", "task=callable", function} <= set(words)
    assert command(name, *words, "budget=2", "confirm=0", "live=false").code == 0


@pytest.mark.slow
def test_looking_loads_no_torch() -> None:
    probe = (
        "import sys, optuna, flatdirs.analyze\n"
        "from flatdirs.report.analysis import sections\n"
        "from tests.test_analyze import foreign, sweep_of\n"
        "sections(sweep_of(foreign(optuna.storages.InMemoryStorage())))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
