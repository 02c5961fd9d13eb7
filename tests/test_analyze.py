"""The analysis of studies: what was planted is found, other people's studies are read, too little is said so."""

from __future__ import annotations

import math
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from flatdirs.analysis.chart_fit import fitting_chart
from flatdirs.analysis.clusters import clusters
from flatdirs.analysis.correlation import correlations, quadrants, rungs_of
from flatdirs.analysis.curve_shape import shape
from flatdirs.analysis.diverged_runs import divergence
from flatdirs.analysis.edge_of_stability import stabilities
from flatdirs.analysis.exploration import exploration
from flatdirs.analysis.gradient_norms import gradient_norms, spikes
from flatdirs.analysis.importance import importances
from flatdirs.analysis.ranges import edges, uniform_over_decades, uniform_rates
from flatdirs.analysis.read_study import sweep_of
from flatdirs.analysis.sweep import Missing, Range, Run, Sweep
from flatdirs.backend.search_plan import SearchPlan
from flatdirs.backend.study import Study
from flatdirs.backend.trial_runs import OUTCOME, SETTING
from flatdirs.backend.trials import CURVE, IDENTITY, STEPS
from flatdirs.curvature.log_record import CurvatureRecord
from flatdirs.errors import StudyError
from flatdirs.report.analysis import sections
from flatdirs.report.continuation import continuation
from flatdirs.space.grid import Grid
from flatdirs.space.shipped_charts import named_chart
from tests.conftest import ROOT, Ended, module_of

Command = Callable[..., Ended]
T = TypeVar("T")
CHART = named_chart("sgd")
STEEP = "lr·wd/(1−momentum)"
LOG_RATE = FloatDistribution(1e-4, 1.0, log=True)


def sweep(runs: Sequence[Run], **more: Any) -> Sweep:
    """A study of these runs, numbered as they stand."""
    numbered = tuple(replace(run, number=number) for number, run in enumerate(runs))
    return Sweep("planted", False, "value", numbered, **{"chart": CHART, **more})


def run(loss: float | None, **more: Any) -> Run:
    """A finished run, or a diverged one without a loss."""
    hyperparameters = more.pop("hyperparameters", {"lr": 0.1, "momentum": 0.9, "wd": 1e-3})
    return Run(0, "diverged" if loss is None else "finished", hyperparameters, loss, loss, **more)


def known(found: T | Missing) -> T:
    """A result that is there."""
    assert not isinstance(found, Missing), found
    return found


def place(u: float, v: float = 0.0, w: float = 0.0) -> dict[str, float]:
    """Hyperparameters u, v and w doublings away from lr=0.1, 1−momentum=0.1, wd=0.001."""
    return {"lr": 0.1 * 2**u, "momentum": 1 - 0.1 * 2**v, "wd": 1e-3 * 2**w}


def scattered(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Hyperparameters spread evenly over six doublings of lr and wd, three of 1−momentum."""
    draws = np.random.default_rng(seed).uniform((-3, -3, -3), (3, 0, 3), (count, 3))
    return [place(*map(float, row)) for row in draws]


def effective(hyperparameters: Mapping[str, float]) -> float:
    """log2 of lr·wd/(1−momentum) against `place(0)`."""
    return math.log2(CHART.coordinates(hyperparameters)[STEEP] / CHART.coordinates(place(0))[STEEP])


@pytest.mark.slow
def test_planted_correlations_are_found_at_their_evaluations() -> None:
    final = np.random.default_rng(0).permutation(40).astype(float)
    noise = np.random.default_rng(1).permutation(40).astype(float)
    runs = [
        run(loss, losses=((10, other), (20, loss + 5.0)), metrics=((20, -loss),))
        for loss, other in zip(final, noise, strict=True)
    ]
    first, last = known(correlations(sweep(runs, metric="edge_of_stability")))
    assert (first.evaluation, first.step, last.evaluation, last.step) == (1, 10, 2, 20)
    assert first.metric is None
    assert first.loss is not None
    assert first.loss.low < first.loss.value < first.loss.high
    assert first.loss.low < 0 < first.loss.high
    assert last.loss is not None
    assert last.metric is not None
    assert (last.loss.value, last.loss.low, last.metric.value) == pytest.approx((1, 1, -1))


def test_rungs_count_evaluations() -> None:
    assert rungs_of(200) == (25, 50, 100, 200)
    assert rungs_of(1) == (1,)
    runs = [run(float(i), losses=tuple((5 * n, i + 1 / n) for n in range(1, 5))) for i in range(6)]
    assert [(rung.evaluation, rung.step) for rung in known(correlations(sweep(runs), rungs=[2, 50]))] == [(2, 10)]
    beyond = correlations(sweep(runs), rungs=[25])
    assert isinstance(beyond, Missing)
    assert "rungs" in beyond.sentence
    constant = known(correlations(sweep([run(float(i), losses=((1, 2.0),)) for i in range(6)])))[0].loss
    assert constant is not None
    assert math.isnan(constant.value)


def test_quadrants_hold_the_runs_they_should() -> None:
    planted = {(True, True): 4, (True, False): 2, (False, True): 2, (False, False): 4}
    runs = [
        run(1.0 if low_loss else 2.0, metrics=((1, 1.0 if low_metric else 2.0),), hyperparameters=place(i))
        for i, ((low_loss, low_metric), count) in enumerate(planted.items())
        for _ in range(count)
    ]
    found = known(quadrants(sweep(runs, metric="m")))
    assert {(one.low_loss, one.low_metric): len(one.runs) for one in found.quadrants} == planted
    assert [one.centre["lr"] for one in found.quadrants] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert (found.median_loss, found.median_metric) == (1.5, 1.5)
    assert isinstance(quadrants(sweep(runs)), Missing)


def test_planted_clusters_are_found_with_their_centres_as_hyperparameters() -> None:
    rng = np.random.default_rng(0)
    centres = [(-6, 0, 4), (0, -3, 0), (5, 2, -5)]
    runs = [
        run(float(i), hyperparameters=place(*(at + rng.normal(0, 0.2, 3))))
        for i, at in enumerate(centres)
        for _ in range(10)
    ]
    found = known(clusters(sweep(runs)))
    assert found.clear
    assert [len(one.runs) for one in found.clusters] == [10, 10, 10]
    for one, at in zip(found.clusters, centres, strict=True):
        assert one.centre["lr"] == pytest.approx(place(*at)["lr"], rel=0.15)
        assert 1 - one.centre["momentum"] == pytest.approx(1 - place(*at)["momentum"], rel=0.15)
        assert one.spread < 1
    even = known(clusters(sweep([run(float(i), hyperparameters=h) for i, h in enumerate(scattered(60))])))
    assert not even.clear


def test_a_search_that_narrows_is_recognised() -> None:
    rng = np.random.default_rng(0)
    wide = [run(10.0 + i, hyperparameters=place(*rng.uniform(-4, 0, 3))) for i in range(15)]
    top = run(1.0, hyperparameters=place(0))
    near = [run(2.0, hyperparameters=place(*rng.normal(0, 0.05, 3))) for _ in range(15)]
    found = known(exploration(sweep([*wide, top, *near])))
    assert found.narrowing is not None
    assert found.narrowing.high < 0
    first, *_, last = found.quarters
    assert first.to_best > 10 * last.to_best
    assert first.nearest > 10 * last.nearest
    assert (first.first, last.last) == (2, 31)


def test_distances_are_doublings() -> None:
    runs = [run(loss, hyperparameters=place(*at)) for loss, at in ((2.0, (0,)), (1.0, (3,)), (3.0, (1, 1)))]
    found = known(exploration(sweep([*runs, *[run(9.0, hyperparameters=place(0))] * 5])))
    assert found.nearest[:2] == pytest.approx((3, math.sqrt(2)))
    assert found.to_best[:2] == pytest.approx((3, math.sqrt(5)))


def test_the_shape_of_a_drawn_curve_is_read_off() -> None:
    def drawn(x: float) -> float:
        if x <= 0.1:
            return 1.0
        return 1.0 - 4 * (x - 0.1) if x <= 0.55 else -0.8 + (1 - x) ** 2 * 0.2 / 0.45**2 - 0.2

    losses = tuple((step, math.exp(drawn(step / 200))) for step in range(1, 201))
    found = known(shape(sweep([run(math.exp(-1), losses=losses)] * 3)))
    assert found.logarithmic
    warmup, fall, end = found.best
    assert warmup.slope == pytest.approx(0, abs=1e-6)
    assert fall.slope == pytest.approx(-4, abs=0.01)
    assert fall.share == pytest.approx(0.45, abs=0.02)
    assert end.curvature == pytest.approx(2 * 0.2 / 0.45**2, rel=0.05)
    assert all(math.isnan(phase.slope) for phase in found.others)


@pytest.mark.slow
def test_a_planted_importance_is_found_in_both_coordinates() -> None:
    by_rate = known(importances(sweep([run(math.log2(h["lr"]) ** 2, hyperparameters=h) for h in scattered(50)])))
    steep = known(importances(sweep([run(effective(h) ** 2, hyperparameters=h) for h in scattered(50)])))
    assert steep.chart is not None
    for found, name in ((by_rate.raw, "lr"), (steep.chart, STEEP)):
        for shares in (found.ped_anova, found.fanova):
            assert shares is not None
            assert shares[name] > 0.7
            assert sum(shares.values()) == pytest.approx(1)
    assert steep.raw.fanova is not None
    assert max(steep.raw.fanova.values()) < 0.7  # along the flat directions the hyperparameters share it
    assert isinstance(importances(sweep([run(1.0, hyperparameters=h) for h in scattered(12)])), Missing), "equal losses"


def test_the_coordinate_that_separates_the_diverged_is_found_with_its_threshold() -> None:
    runs = [run(1.0 if effective(h) < 1.0 else None, hyperparameters=h) for h in scattered(80)]
    found = known(divergence(sweep(runs)))
    best = found.thresholds[0]
    assert (best.coordinate, best.auc, best.above, best.wrong) == (STEEP, 1.0, True, 0)
    inside, outside = found.chart[STEEP]
    assert outside is not None
    assert outside[1] < best.value < inside[0]
    assert all(one.auc < 1 for one in found.thresholds[1:])
    assert {one.coordinate for one in found.thresholds} == {STEEP, "lr", "1−momentum", "wd"}
    small = [run(1.0 if h["wd"] > 1e-3 else None, hyperparameters=h) for h in scattered(40)]
    best = known(divergence(sweep(small))).thresholds[0]
    assert (best.coordinate, best.above) == ("wd", False)


def test_gradient_norms_are_binned_and_their_spikes_counted() -> None:
    rates = np.concatenate([np.full(100, 0.01), np.full(100, 0.1), np.full(5, 1.0)])
    norms = 1 / rates
    norms[[20, 60, 150]] *= 10
    norms[30] = math.nan
    found = known(gradient_norms(sweep([run(1.0, rates=tuple(rates), gradient_norms=tuple(norms)), run(2.0)])))
    assert [one.steps for one in found.bins] == [99, 100, 5]
    assert [one.thin for one in found.bins] == [False, False, True]
    assert [one.median for one in found.bins] == pytest.approx([100, 10, 1])
    assert found.bins[0].low <= 0.01 < found.bins[0].high
    assert [one.spikes for one in found.bins] == pytest.approx([2 / 99, 1 / 100, 0])
    assert (found.left_out, found.steps, found.runs) == (1, 204, 1)
    assert isinstance(gradient_norms(sweep([run(1.0)])), Missing)
    assert not spikes(np.geomspace(1, 1000, 500)).any(), "a slow drift is no spike"


def watched(*ratios: float) -> tuple[CurvatureRecord, ...]:
    """Records with these ratios, a threshold of 20 and an alignment of −½."""
    return tuple(
        CurvatureRecord(10 * step, 0.1, 1.0, 2.0, 20 * ratio, 20.0, ratio, -0.5, 1e-6, 9)
        for step, ratio in enumerate(ratios, 1)
    )


def test_the_edge_is_judged_by_the_second_half_of_a_run_the_best_run_first() -> None:
    runs = [
        run(0.3, curvature=watched(2.0, 0.2, 0.4, 0.6)),
        run(None, curvature=watched(1.0, 1.5, math.nan)),
        run(0.1, curvature=watched(0.1, 0.1, 1.0, 1.1)),
        run(0.2),
        run(0.4, curvature=watched(math.nan)),
    ]
    found = known(stabilities(sweep(runs)))
    assert [(one.run.number, one.where) for one in found] == [
        (2, "at the edge"), (0, "below"), (4, "not known"), (1, "beyond"),
    ]  # fmt: skip
    assert (found[0].ratio, found[0].sharpness, found[0].alignment) == pytest.approx((1.05, 21.0, 0.5))
    assert [one.highest for one in found[:2]] == [1.1, 2.0]
    assert math.isnan(found[2].highest)
    assert [one.run.number for one in known(stabilities(replace(sweep(runs), maximize=True)))] == [4, 0, 2, 1]
    assert isinstance(stabilities(sweep([run(0.2)])), Missing)


@pytest.mark.parametrize(
    ("searched", "warned"),
    [
        (Range("lr", 0.0, 1.0, False), True),
        (Range("learning_rate", 1e-3, 1.0, False), True),
        (Range("box.lr", 1e-3, 1.0, False), True),
        (Range("wd", 1e-3, 9e-3, False), False),
        (Range("lr", 1e-5, 1.0, True), False),
        (Range("momentum", 0.0, 1.0, False), False),
        (Range("one_minus_momentum", 0.01, 1.0, False), True),
        (Range("dropout_rate", 0.0, 0.5, False), False),
        (Range("head_lr", 1e-4, 0.1, False), True),
        (Range("batch_size", 16, 4096, False), False),
    ],
)
def test_uniform_rates_over_a_decade_are_warned_about(searched: Range, warned: bool) -> None:
    assert bool(uniform_rates(sweep([], ranges=(searched,)))) == warned
    assert "90 %" in str(uniform_over_decades("lr", 0.0, 1.0))


@pytest.mark.parametrize(
    ("searched", "value", "expected"),
    [
        (Range("lr", 1e-3, 1.0, True), 0.9, (1e-3, 10.0)),
        (Range("learning_rate", 1e-3, 1.0, True), 1.1e-3, (1e-4, 1.0)),
        (Range("lr", 1e-4, 1.0, True), 1.5e-4, (1e-5, 1.0)),  # within a twentieth of the logarithm
        (Range("lr", 1e-4, 1.0, True), 1.6e-4, None),
        (Range("lr", 1e-4, 1.0, True), 0.6, None),
        (Range("lr", 1e-4, 1.0, True), 0.64, (1e-4, 10.0)),
        (Range("lr", 0.0, 1.0, False), 0.97, (0.0, 10.0)),
        (Range("lr", 1e-30, 1e30, True), 1e29, None),
        (Range("momentum", 0.5, 0.99, False), 0.99, (0.5, 0.999)),
        (Range("momentum", 0.0, 1.0, False), 0.0, None),
        (Range("one_minus_momentum", 0.01, 1.0, True), 0.01, (0.001, 1.0)),
        (Range("one_minus_momentum", 0.01, 1.0, True), 1.0, None),
        (Range("batch_size", 1.0, 64.0, True), 1.0, None),
    ],
)
def test_a_best_run_at_an_end_gets_a_wider_range(
    searched: Range, value: float, expected: tuple[float, float] | None
) -> None:
    name = {"learning_rate": "lr", "one_minus_momentum": "momentum"}.get(searched.name, searched.name)
    best = {name: 1 - value if searched.name == "one_minus_momentum" else value}
    found = edges(sweep([run(1.0, hyperparameters=best)], ranges=(searched,)))
    assert [(edge.wider.low, edge.wider.high) for edge in found] == (
        [expected and pytest.approx(expected)] * bool(found)
    )
    assert bool(found) == (expected is not None)


def test_a_wider_range_is_suggested_in_the_words_of_the_study() -> None:
    searched = Range("lr", 1e-3, 1.0, True)
    foreign_one = sweep([run(1.0, hyperparameters={"lr": 1.0})], ranges=(searched,))
    assert 'trial.suggest_float("lr", 0.001, 10, log=True)' in continuation(
        foreign_one, edges(foreign_one), Path("studies")
    )
    a_slice = replace(foreign_one, identity={"slice": {}})
    assert "x_steps" in continuation(a_slice, edges(a_slice), Path("studies"))


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ({"lr", "momentum", "wd"}, [STEEP, "1−momentum", "wd"]),
        ({"lr", "beta1", "wd"}, ["lr·wd", "wd", "1−beta1"]),
        ({"lr", "wd"}, ["lr·wd", "wd"]),
        ({"lr", "momentum"}, ["lr/(1−momentum)", "1−momentum"]),
        ({"lr", "batch_size"}, ["lr/batch_size", "batch_size"]),
        ({"lr", "momentum", "wd", "batch_size"}, ["lr·wd/((1−momentum)·batch_size)", "1−momentum", "wd", "batch_size"]),
        ({"lr", "dropout"}, None),
        (set(), None),
    ],
)
def test_the_chart_fits_what_was_searched(names: set[str], axes: list[str] | None) -> None:
    chart = fitting_chart(names)
    assert (chart and [axis.name for axis in chart.axes]) == axes


def foreign(storage: Any, name: str = "theirs", count: int = 24, **attributes: Any) -> optuna.Study:
    """Somebody's study: lr and wd, losses as intermediate values, some trials pruned, some failed, one categorical."""
    study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
    spaces = {
        "learning_rate": FloatDistribution(0.0, 1.0),
        "wd": FloatDistribution(1e-6, 1e-2, log=True),
        "optimizer": CategoricalDistribution(["sgd", "adam"]),
    }
    rng = np.random.default_rng(0)
    for i in range(count):
        rate, decay = float(rng.uniform(0.01, 1)), float(10 ** rng.uniform(-6, -2))
        final = abs(math.log(rate)) + 0.1
        values = {10 * n: final + 1.0 / n for n in range(1, 9)}
        more: dict[str, Any] = {"value": final, "intermediate_values": values}
        if rate > 0.8:
            more = {"state": TrialState.FAIL}
        elif i % 5 == 4:
            more = {"state": TrialState.PRUNED, "intermediate_values": {10: values[10]}}
        params = {"learning_rate": rate, "wd": decay, "optimizer": "sgd"}
        study.add_trial(create_trial(params=params, distributions=spaces, user_attrs=attributes, **more))
    return study


def test_a_study_of_somebody_else_is_read() -> None:
    read = sweep_of(foreign(None))
    assert {one.state for one in read.runs} == {"finished", "pruned", "diverged"}
    assert set(read.runs[0].hyperparameters) == {"lr", "wd"}
    assert read.chart is not None
    assert [axis.name for axis in read.chart.axes] == ["lr·wd", "wd"]
    assert read.evaluations == tuple(range(10, 90, 10))
    assert (read.metric, read.loss_name) == (None, "value")
    assert len(uniform_rates(read)) == 1


@pytest.mark.parametrize("value", [3, "ok", [3.0, 2.0], {"loss": [3, 2], "state": "pruned", "lr": [1.0]}])
def test_a_users_own_attributes_change_nothing(value: Any) -> None:
    names = ("setting", "outcome", "curve", "curvature", "provenance", "steps", "metric", "incumbent")
    study = foreign(None, **dict.fromkeys(names, value))
    for name in names:
        study.set_user_attr(name, value)
    assert sweep_of(study) == sweep_of(foreign(None))


def test_accuracies_are_turned_and_a_pruned_run_without_a_finite_value_has_diverged() -> None:
    study = optuna.create_study(direction="maximize")
    for rate, accuracy in ((0.1, 90.0), (0.2, 95.0)):
        more: dict[str, Any] = {"value": accuracy, "intermediate_values": {1: accuracy - 10}}
        study.add_trial(create_trial(params={"lr": rate}, distributions={"lr": LOG_RATE}, **more))
    more = {"state": TrialState.PRUNED, "intermediate_values": {1: 10.0, 2: math.nan}}
    study.add_trial(create_trial(params={"lr": 1.0}, distributions={"lr": LOG_RATE}, **more))
    read = sweep_of(study)
    assert [one.loss for one in read.runs] == [-90.0, -95.0, None]
    assert read.runs[0].losses == ((1, -80.0),)
    assert read.runs[2].state == "diverged"
    assert read.best is not None
    assert read.best.value == 95.0


def ours(state: str = "finished", rates: Sequence[float] = (), name: str = "lr", **outcome: Any) -> dict[str, Any]:
    """The user attributes of a run of flatdirs."""
    return {
        SETTING: {"hyperparameters": {name: 0.3}},
        OUTCOME: {"state": state, "value": 2.0, "partial": 2.0, **outcome},
        STEPS: {"lr": list(rates), "gradient_norm": [None] * len(rates)},
        CURVE: [{"number": n, "loss": 3.0 - n + seed, "seed": seed} for seed in (0, 1) for n in (1, 2)],
    }


def test_a_study_of_flatdirs_is_read_with_its_metric_and_its_steps() -> None:
    study = optuna.create_study(direction="minimize")
    study.set_user_attr(IDENTITY, {"metric": {"name": "edge_of_stability"}})
    values = {"value": -2.0, "intermediate_values": {1: -3.0, 2: -2.0}}
    study.add_trial(create_trial(user_attrs=ours(rates=[0.1, 0.2], loss=1.0, value=-2.0), **values))
    read = sweep_of(study)
    (one,) = read.runs
    assert (read.metric, read.loss_name) == ("edge_of_stability", "validation loss")
    assert one.metrics == ((1, -3.0), (2, -2.0))
    assert one.losses == ((1, 2.5), (2, 1.5)), "the mean over seeds"
    assert (one.value, one.loss, one.hyperparameters) == (-2.0, 1.0, {"lr": 0.3})
    assert one.rates == (0.1, 0.2)
    assert math.isnan(one.gradient_norms[1])


def test_runs_of_flatdirs_are_numbered_as_tune_counts_them_and_those_of_others_as_optuna_does() -> None:
    study = optuna.create_study(direction="minimize")
    for state in (TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE):  # two interrupted ones
        interrupted = {SETTING: {"hyperparameters": {"lr": 0.3}}}
        attributes = interrupted if state == TrialState.FAIL else ours(value=1.0, loss=1.0)
        study.add_trial(
            create_trial(state=state, value=None if attributes == interrupted else 1.0, user_attrs=attributes)
        )
    assert [one.number for one in sweep_of(study).runs] == [1, 3]
    assert "best: trial 1," in str(sections(sweep_of(study))[0].sentences)
    study.set_user_attr(IDENTITY, {"direction": "minimize"})
    assert [one.number for one in sweep_of(study).runs] == [1, 2]
    assert "best: run 1," in str(sections(sweep_of(study))[0].sentences)
    plan = SearchPlan("random", Grid(named_chart("sgd"), {"lr": 0.1, "momentum": 0.9, "wd": 1e-3}), None, 0, {})
    assert [number for number, _, _ in Study(study, plan, False, 60.0).numbered_runs()] == [1, 2]


@pytest.mark.parametrize(("name", "expected"), [("lr", 0.25), ("sigma", None)])
def test_the_warm_up_is_that_of_a_finished_run_whose_rate_is_scheduled(name: str, expected: float | None) -> None:
    study = optuna.create_study(direction="minimize")
    for state, rates in (("pruned", [0.1, 0.2, 0.3]), ("finished", [0.1, 0.3, 0.2, 0.1])):
        study.add_trial(create_trial(value=2.0, user_attrs=ours(state, rates, name, loss=2.0)))
    assert sweep_of(study).warmup == expected


def test_several_objectives_are_refused() -> None:
    with pytest.raises(StudyError) as error:
        sweep_of(optuna.create_study(directions=["minimize", "maximize"]))
    assert error.value.key == "study"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_missing_every_section_has_a_sentence(seed: int) -> None:
    draw = random.Random(seed)
    choices = {"momentum": (0.0, 0.9, 1.0), "wd": (0.0, 1e-3, 1e-2), "batch_size": (1.0, 64.0)}

    def points() -> tuple[tuple[int, float], ...]:
        return tuple((step, draw.uniform(-10, 10)) for step in range(1, draw.randrange(9)))

    def drawn() -> Run:
        state = draw.choice(("finished", "finished", "pruned", "diverged"))
        value = draw.choice((0.0, 1.0, 2.5)) if state == "finished" else None
        others = {name: draw.choice(values) for name, values in choices.items() if draw.random() < seed / 9}
        more = {"curvature": watched(0.5, 1.5), "rates": (0.1, 0.2), "gradient_norms": (1.0, 2.0)} if seed % 3 else {}
        return Run(0, state, {"lr": draw.choice((1e-3, 0.1, 1.0)), **others}, value, value, points(), points(), **more)

    runs = [drawn() for _ in range(2 * seed)]
    names = set.intersection(*(set(one.hyperparameters) for one in runs)) if runs else set()
    metric = "edge_of_stability" if seed % 2 else None
    made = sections(sweep(runs, metric=metric, chart=fitting_chart(names)))
    assert len(made) == len({section.name for section in made}) == 10
    assert all(section.sentences for section in made)


@pytest.mark.slow
def test_a_database_is_analyzed_by_its_address_without_torch(tmp_path: Path) -> None:
    url, out = f"sqlite:///{tmp_path / 'theirs.db'}", tmp_path / "out"
    foreign(url)
    probe = (
        "import sys\ntry:\n from flatdirs.cli.analyze import main; main()\nfinally:\n assert 'torch' not in sys.modules"
    )
    arguments = ["theirs", f"storage.url={url}", f"output={out}", "rungs=[2,4]"]
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^warning: learning_rate .*uniformly", done.stdout, re.MULTILINE)
    assert re.search(r"\blr separates.* 0\.\d+ .* 0 of", done.stdout)
    assert re.search(r"^ ?4 +40 .*\+1\.00", done.stdout, re.MULTILINE)
    page = (out / "theirs/analysis.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]{22})', page)
    assert len(pictures) == len(list((out / "theirs/analysis").glob("*.png"))) >= 5
    assert all(source.startswith("data:image/png;base64") for source in pictures)
    assert "lr·wd" in page


@pytest.mark.slow
def test_a_journal_with_few_trials_is_analyzed_by_its_path(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "their journal.log"
    foreign(JournalStorage(JournalFileBackend(str(path))), "their/own", count=3)
    ended = command("analyze", f"storage.url={path}", f"output={tmp_path}")
    assert ended.code == 0, ended.err
    assert "3 runs: " in ended.out
    assert "importances need at least 10" in ended.out
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
    ("arguments", "key"),
    [
        (["nowhere"], "study"),
        (["study=nowhere"], "study"),
        ([], "study"),
        (["storage.url=missing.db"], "storage.url"),
        (["storage.url=sqlite:///missing.db"], "storage.url"),
        (["nowhere", "storage.url=two.db"], "study"),
        (["storage.url=two.db"], "study"),
        (["a", "storage.url=two.db", "rungs=soon"], "rungs"),
        (["a", "storage.url=two.db", "rungs=[0]"], "rungs"),
        (["storage.url=other.txt"], "other.txt"),
    ],
)
def test_what_cannot_be_read_is_refused(
    arguments: list[str], key: str, two_studies: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(two_studies)
    ended = command("analyze", *arguments)
    assert ended.code == 2
    assert key in ended.err
    assert not Path("missing.db").exists()


@pytest.mark.slow
def test_a_search_by_flatdirs_is_analyzed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(tmp_path)
    tune = ["search=random", "task=digits", "task.epochs=1", "budget=6", "confirm=0", "live=false"]
    tuned = command("tune", *tune)
    assert tuned.code == 0
    ended = command("analyze")
    assert ended.code == 0, ended.err
    assert "Study digits-random" in ended.out
    numbers = re.findall(r"best: run (\d+)", tuned.out + ended.out)
    assert len(numbers) == 2
    assert numbers[0] == numbers[1]
    assert re.search(r"6 runs: \d finished, 0 pruned, \d diverged; loss stands for the validation loss", ended.out)
    assert "steps of 6 runs" in ended.out
    page = (tmp_path / "studies/digits-random/analysis.html").read_text(encoding="utf-8")
    assert "importances need at least 10" in page


@pytest.mark.slow
def test_the_continuation_is_a_command_that_runs(workplace: Path, command: Command) -> None:
    """A search whose box ends below the best lr prints a command that searches above."""
    function = f"task.function={module_of(workplace)}:train"
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
    line = re.search(r"^(?:python -m flatdirs\.|flatdirs )(\w+) (.*)$", ended.out, re.MULTILINE)
    assert line is not None
    words = shlex.split(line.group(2))
    assert "box.lr=[0.0001,0.01]" in words
    assert {"search=random", "seed=3", "study=narrow-wider", "task=callable", function} <= set(words)
    assert command(line.group(1), *words, "budget=2", "confirm=0", "live=false").code == 0
