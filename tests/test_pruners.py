"""The pruners in Optuna studies: known answers, the W&B rule against an oracle, and what they must never stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import IntDistribution
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from flatdirs import FlatDirectionsSampler
from flatdirs.backend import claims
from flatdirs.backend.pruner_settings import PRUNERS, Hyperband, Incumbent, NoPruning, Pruning, Rungs, Wandb
from flatdirs.backend.pruners import IncumbentPruner, RungsPruner, WandbPruner, build_pruner
from flatdirs.backend.trial_runs import INCUMBENT, OUTCOME, SETTING
from flatdirs.errors import ConfigError

optuna.logging.set_verbosity(optuna.logging.WARNING)
Curve = Sequence[float]
ALL: list[Pruning] = [NoPruning(), Rungs(2), Hyperband(2), Wandb(2), Wandb(2, strict=False), Incumbent(first=2)]
BOX = {"x": IntDistribution(0, 10_000)}


@pytest.fixture(params=["memory", pytest.param("journal", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage:
    return InMemoryStorage() if request.param == "memory" else JournalStorage(JournalFileBackend(str(tmp_path / "log")))


def made(pruner: BasePruner, maximize: bool = False, storage: BaseStorage | None = None) -> optuna.Study:
    direction = "maximize" if maximize else "minimize"
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(storage=storage, pruner=pruner, direction=direction, sampler=sampler, study_name="s")


def run(
    study: optuna.Study,
    curve: Curve,
    point: int | None = None,
    claim: Mapping[str, float] | None = None,
    **attributes: Any,
) -> int | None:
    """Make one run; the evaluation at which the pruner stopped it. The last value is never asked about."""
    study.enqueue_trial({"x": 100 + len(study.trials) if point is None else point})
    trial = study.ask(BOX)
    if claim is not None:
        claims.write(study, trial, {"hyperparameters": claim})
    for key, value in attributes.items():
        trial.set_user_attr(key, value)
    for step, value in enumerate(curve, 1):
        trial.report(value, step)
        if step < len(curve) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return step
    study.tell(trial, curve[-1])
    return None


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("rule", ALL, ids=lambda rule: f"{rule.name}-{getattr(rule, 'strict', '')}")
def test_the_best_so_far_is_never_stopped_and_hopeless_runs_are(
    rule: Pruning, maximize: bool, storage: BaseStorage
) -> None:
    sign = -1.0 if maximize else 1.0
    study = made(build_pruner(rule, 9), maximize, storage)
    for better in range(6):  # each better than all before, everywhere
        assert run(study, [sign * (10.0 - better - 0.1 * n) for n in range(9)]) is None
    assert not study.ask(BOX).should_prune(), "a run that has reported nothing"
    stopped = [run(study, [sign * (100.0 + worse)] * 9) for worse in range(12)]
    if isinstance(rule, NoPruning):
        assert stopped == [None] * 12
    elif isinstance(rule, Hyperband):  # its last bracket tests late, and each bracket must have runs to compare with
        assert sum(step is not None for step in stopped) >= 6
    else:
        assert stopped == [2] * 12
    assert study.best_value == pytest.approx(sign * (10.0 - 5 - 0.8))


@pytest.mark.parametrize("rule", ALL[:4], ids=lambda rule: rule.name)
def test_our_search_finds_its_way_under_every_pruner(rule: Pruning) -> None:
    """HyperbandPruner hands a sampler a filtered study; ours reads all trials through the storage."""
    sampler = FlatDirectionsSampler(search="myrtle", seed=0, start={"lr": 1.0})
    study = optuna.create_study(sampler=sampler, pruner=build_pruner(rule, 6), study_name="walk")

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-4, 1e2, log=True)
        for step in range(1, 7):
            trial.report(abs(math.log2(rate / 0.01)) + 1 / step, step)
            if step < 6 and trial.should_prune():
                raise optuna.TrialPruned
        return abs(math.log2(rate / 0.01))

    study.optimize(objective, n_trials=20)
    assert len({trial.params["lr"] for trial in study.trials}) > 8
    assert study.best_params["lr"] == pytest.approx(0.01, rel=0.5)


def test_rungs_lie_at_25_50_100_and_200() -> None:
    study = made(RungsPruner())
    assert run(study, [1.0] * 300) is None
    assert run(study, [2.0] * 300) == 25
    assert run(study, [0.5] * 25 + [2.0] * 275) == 50
    assert run(study, [0.4] * 50 + [2.0] * 250) == 100
    assert run(study, [0.3] * 100 + [2.0] * 200) == 200


def test_the_better_half_continues() -> None:
    study = made(RungsPruner(first_rung=1))
    stopped = [run(study, [value, value]) for value in (4.0, 3.0, 5.0, 3.5, 2.0, 3.2, 3.4)]
    assert stopped == [None, None, 1, None, None, None, 1]


@pytest.mark.parametrize("rule", [RungsPruner(1), WandbPruner(1), IncumbentPruner(first=1)])
def test_an_interrupted_run_of_flatdirs_is_not_compared_with(rule: BasePruner) -> None:
    """It has a setting and no outcome. Its point is run again, and must not meet itself."""

    def stopped(interrupt: bool) -> list[int | None]:
        study = made(rule)
        first = [run(study, [value] * 3) for value in (5.0, 4.0)]
        if interrupt:
            study.enqueue_trial({"x": 9})
            trial = study.ask(BOX)
            trial.set_user_attr(SETTING, {})
            trial.report(1.0, 1)
            trial.should_prune()
            study.tell(trial, state=TrialState.FAIL)
        return [*first, *(run(study, [value] * 3, point=9 + n) for n, value in enumerate((3.9, 3.8, 3.95, 4.5)))]

    assert stopped(interrupt=True) == stopped(interrupt=False)


def test_hyperband_has_optunas_brackets() -> None:
    study = made(build_pruner(Hyperband(25, 2), 200))
    assert {run(study, [float(n)] * 200) for n in range(60)} == {25, 50, 100, None}


class TestWandb:
    """bands int(min_iter·eta^i), counted in a run's own finite values; threshold sorted(values)[int(n/eta)]."""

    @staticmethod
    def oracle(runs: Sequence[Curve], of: int, min_iter: int, eta: float, strict: bool) -> bool:
        """Whether a run must stop, from lists of values (lower is better), one band after the other."""
        histories = [[value for value in curve if math.isfinite(value)] for curve in runs]
        verdict = False
        for power in range(100):
            band = min_iter
            for _ in range(power):
                band *= eta
            band = int(band)
            if len(histories[of]) < band:
                break
            values = sorted(history[band - 1] for history in histories if len(history) >= band)
            threshold = values[int(1.0 / eta * len(values))]
            verdict = (histories[of][band - 1] if strict else min(histories[of])) > threshold
        return verdict

    @staticmethod
    def running(pruner: WandbPruner, curves: Sequence[Curve], maximize: bool = False) -> list[optuna.Trial]:
        """Runs in progress that have reported these values, at every tenth step."""
        study = made(pruner, maximize)
        trials = [study.ask(BOX) for _ in curves]
        for trial, curve in zip(trials, curves, strict=True):
            for step, value in enumerate(curve, 1):
                trial.report(-value if maximize else value, 10 * step)
        return trials

    @pytest.mark.parametrize("maximize", [False, True])
    @pytest.mark.parametrize(
        "bands", [{"min_iter": 1, "eta": 2}, {"max_iter": 5, "eta": 2, "s": 2}], ids=["min", "max"]
    )
    def test_wandbs_own_example(self, bands: dict[str, int], maximize: bool) -> None:
        """By hand: bands 1 and 2 (of 5: 5/2 and 5/4, cut). At 2 stand 6, 7, 8, 9, 10, of which int(5/2) picks 8.

        Only the first two are above 8. Reading the value after the band would pick 7 of 6, 7, 8 at band 2 for those
        with three values, and stop the third as well.
        """
        five = ([10, 9], [10, 10], [10, 8, 8], [10, 7, 7], [10, 6, 6])
        trials = self.running(WandbPruner(**bands), five, maximize)
        assert [trial.should_prune() for trial in trials] == [True, True, False, False, False]
        trials[0].study.tell(trials[0], 9.0)  # an ended run is compared with, but no more stopped
        assert [trial.should_prune() for trial in trials[1:]] == [True, False, False, False]

    @pytest.mark.parametrize(("strict", "stopped"), [(False, []), (True, [2])])
    def test_wandbs_example_for_eta_3(self, strict: bool, stopped: list[int]) -> None:
        """By hand: 9 cut by 3 twice gives bands 1 and 3. All stand at 10 at 1, where equal is not above.

        At 3 stand 6, 7, 8, of which int(3/3) picks 7. Strictly the third run's 8 is above it; its best, 3, is not.
        """
        curves = ([10, 9], [10, 10], [10, 8, 8, 3], [10, 7, 7, 4], [10, 6, 6, 6])
        trials = self.running(WandbPruner(max_iter=9, eta=3, s=2, strict=strict), curves)
        assert [number for number, trial in enumerate(trials) if trial.should_prune()] == stopped

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (Wandb(25, 2), [25, 50, 100, 200]),
            (Wandb(2, 1.5), [2, 3, 4, 6]),
            (Wandb(2, 1e6), [2, 2_000_000, 2 * 10**12]),  # they end before they overflow
            (Wandb(max_iter=81, eta=3, s=3), [3, 9, 27]),
            (Wandb(max_iter=5, eta=2, s=9), [1, 2]),
        ],
    )
    def test_bands(self, rule: Wandb, expected: list[int]) -> None:
        assert rule.bands[: len(expected)] == expected

    def test_it_is_asked_again_as_others_arrive(self) -> None:
        study = made(WandbPruner(min_iter=1))
        first = study.ask(BOX)
        first.report(5.0, 1)
        assert not first.should_prune()
        for value in (1.0, 2.0):
            run(study, [value])
        assert first.should_prune()

    @settings(max_examples=60)
    @given(
        st.lists(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, math.nan]), max_size=12), min_size=1, max_size=8),
        st.integers(1, 3),
        st.sampled_from([1.5, 2.0, 3.0, 4.0]),
        st.booleans(),
        st.booleans(),
    )
    def test_it_is_the_rule(
        self, curves: list[list[float]], min_iter: int, eta: float, strict: bool, maximize: bool
    ) -> None:
        trials = self.running(WandbPruner(min_iter, eta, strict), curves, maximize)
        for number, trial in enumerate(trials):
            assert trial.should_prune() == self.oracle(curves, number, min_iter, eta, strict)


class TestIncumbent:
    CURVE = (50.0, 60.0, 70.0, 80.0, 90.0, 92.0)

    def against(self, *runs: tuple[Curve, int], **rules: float) -> Callable[..., int | None]:
        study = made(IncumbentPruner(**{"first": 1, **rules}), maximize=True)  # type: ignore[arg-type]
        for curve, point in runs:
            run(study, curve, point)
        return lambda curve, **more: run(study, curve, **more)

    def test_the_margin_is_in_standard_deviations_between_seeds(self) -> None:
        again = [value + 2.0 for value in self.CURVE]  # the same point: a standard deviation of √2, a mean 1 higher
        behind = 1.0 - 3.0 * math.sqrt(2.0)
        for more, stops in ((0.01, None), (-0.01, 1)):
            one = self.against((self.CURVE, 1), (again, 1), margin=3.0)
            assert one([value + behind + more for value in self.CURVE]) == stops

    def test_a_given_spread_counts(self) -> None:
        one = self.against((self.CURVE, 1), margin=2.0, spread=3.0)
        assert one([value - 5.9 for value in self.CURVE]) is None
        assert one([value - 6.1 for value in self.CURVE]) == 1

    def test_without_a_point_run_twice_its_own_jitter_counts(self) -> None:
        rough = [50.0, 51.0, 50.0, 51.0, 50.0, 51.0, 50.0, 51.0]  # bends of 1: a jitter of 1.21, a spread of 7.26
        assert self.against((rough, 1))([value - 3 * 7.2 for value in rough]) is None
        assert self.against((rough, 1))([value - 3 * 7.3 for value in rough]) == 1

    def test_the_first_run_the_start_and_other_runs_of_a_finished_point_are_never_stopped(self) -> None:
        hopeless = [0.0] * 6
        assert self.against()(hopeless) is None
        one = self.against((self.CURVE, 1), spread=1.0)
        assert one(hopeless, **{INCUMBENT: None}) is None
        assert one(hopeless, point=1) is None
        assert one(hopeless, point=2) == 1

    def test_not_before_three_quarters_of_the_incumbents_curve_and_not_at_its_end(self) -> None:
        study = made(IncumbentPruner(spread=1.0), maximize=True)
        run(study, self.CURVE)
        assert run(study, [0.0] * 6) == 5
        assert run(study, [50.0, 60.0, 70.0, 80.0, 90.0, 0.0, 0.0]) is None

    def test_the_incumbent_is_the_point_that_the_sampler_names_else_the_best_run(self) -> None:
        study = made(IncumbentPruner(spread=1.0, first=1, margin=1.0), maximize=True)
        run(study, [10.0] * 6, claim={"lr": 0.1})
        run(study, self.CURVE)
        assert run(study, [20.0] * 6) == 1
        assert run(study, [20.0] * 6, **{INCUMBENT: {"lr": 0.1}}) is None

    def test_a_diverged_run_is_no_incumbent(self) -> None:
        study = made(IncumbentPruner(spread=1.0, first=1), maximize=False)
        run(study, [5.0] * 6)
        run(study, [0.0] * 6, **{SETTING: {}, OUTCOME: {"state": "diverged", "value": 0.0}})
        assert run(study, [6.0] * 6) is None

    def test_a_users_own_attributes_mean_nothing(self) -> None:
        study = made(IncumbentPruner(spread=1.0, first=1), maximize=True)
        run(study, self.CURVE, setting="A", outcome="good")
        assert run(study, [0.0] * 6, move="start", incumbent=None) == 1


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Rungs(0), "first_rung"),
        (lambda: RungsPruner(factor=1), "factor"),
        (lambda: WandbPruner(0), "min_iter"),
        (lambda: WandbPruner(eta=1.0), "eta"),
        (lambda: Wandb(max_iter=9), "s"),
        (lambda: Wandb(s=2), "max_iter"),
        (lambda: WandbPruner(max_iter=2, s=2, eta=3.0), "max_iter"),
        (lambda: IncumbentPruner(margin=-1.0), "margin"),
        (lambda: Incumbent(spread=math.inf), "spread"),
        (lambda: Incumbent(first=0), "first"),
        (lambda: Rungs(25).check(20), "first_rung"),
        (lambda: Rungs(20).check(20), "first_rung"),
        (lambda: Hyperband(25).check(20), "first_rung"),
        (lambda: Wandb(25).check(20), "min_iter"),
        (lambda: Wandb(25).check(30, silent=5), "min_iter"),
        (lambda: Wandb(max_iter=100, s=2).check(20), "max_iter"),
        (lambda: Incumbent(first=25).check(20), "first"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_its_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.key == f"pruner.{key}"
    assert error.value.key in str(error.value)


def test_settings_that_can_work_are_accepted() -> None:
    for kind in PRUNERS.values():
        kind().check(200)
        kind().check(None)
    Wandb(24).check(30, silent=5)
    Rungs(24).check(30, silent=10)
