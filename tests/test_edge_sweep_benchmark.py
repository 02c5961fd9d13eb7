"""benchmarks/edge_sweep: its runs, the replays' known answers, sweeps that resume, a page that says what rows say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from flatdirs.backend.pruning import Incumbent

from benchmarks import rows
from benchmarks.edge_sweep import __main__ as command
from benchmarks.edge_sweep import confirming, findings, margins, page, recording, replaying, setting, sweeping, verdict
from benchmarks.edge_sweep.curves import Curve, curve_of, row, shown
from benchmarks.edge_sweep.findings import Evidence
from benchmarks.edge_sweep.margins import Lost
from benchmarks.edge_sweep.paired import Paired, sign_test
from benchmarks.edge_sweep.replaying import Rule
from benchmarks.edge_sweep.setting import (
    EVALUATIONS,
    FRESH_SEEDS,
    HERE,
    LOSS,
    RANGES,
    SEEN,
    SUBJECTS,
    Point,
    drawn,
    rates,
)
from benchmarks.edge_sweep.subjects import Watch, subject
from flatdirs.errors import ConfigError, StudyError

POINT = Point(1e-3, 0.1, 0.01)
RULES = {rule.name: rule for rule in replaying.rules()}


def run_to(end: float, number: int = 0, length: int = EVALUATIONS, diverged: bool = False, bumps: float = 0.0) -> Curve:
    """A loss that falls from 3 to `end`, always above that of a run with a lower end."""
    fall = np.exp(-np.arange(1, length + 1) / 30)
    wobble = bumps * (np.arange(length) % 2)
    return Curve(drawn(number), 0, tuple(float(f"{x:.5g}") for x in end + (3 - end) * fall + wobble), diverged)


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_rises_for_a_tenth_and_then_falls_to_nothing() -> None:
    curve = rates(0.5)
    assert len(curve) == EVALUATIONS
    assert curve[: setting.WARMUP_STEPS // setting.EVERY] == sorted(curve[:20])
    assert curve[20] == pytest.approx(0.5, rel=1e-3)
    assert curve[20:] == sorted(curve[20:], reverse=True)
    assert 0 < curve[-1] < 1e-5


def test_points_are_drawn_log_uniformly_and_are_the_same_again() -> None:
    points = [drawn(number) for number in range(400)]
    assert points == [drawn(number) for number in range(400)]
    for name, (low, high) in RANGES.items():
        places = [math.log(getattr(point, name) / low) / math.log(high / low) for point in points]
        assert 0 <= min(places) < 0.02
        assert 0.98 < max(places) <= 1
        assert np.mean(places) == pytest.approx(0.5, abs=0.05)
    assert all(0 <= point.beta1 < 1 for point in points)


@pytest.mark.parametrize("curve", [run_to(1.0), run_to(1.0, length=50), run_to(1.0, length=60, diverged=True)])
def test_a_row_gives_its_run_back(curve: Curve) -> None:
    assert curve_of(row(curve)) == curve
    assert curve.finished == (len(curve.losses) == EVALUATIONS)
    assert curve.final == (curve.losses[-1] if curve.finished else math.inf)


def test_what_was_not_finite_stays_so() -> None:
    burst = Curve(POINT, 0, (1.0, math.inf), diverged=True)
    assert math.isnan(curve_of(row(burst)).losses[-1])
    assert burst.final == math.inf


@pytest.mark.parametrize("seen", [*SEEN, "sign@1.05", "difference@1.01"])
def test_what_is_shown_is_the_same_while_a_run_goes_as_afterwards(seen: str) -> None:
    curve, value_of = run_to(1.0, bumps=0.1), shown(seen)
    along = [value_of(loss, rate) for loss, rate in zip(curve.losses, curve.rates, strict=True)]
    assert along == pytest.approx(list(curve.seen(seen)), nan_ok=True)
    other = [value for what in SEEN if what != seen for value in curve.seen(what)[100:]]
    assert along[150] not in other


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_trains_alike_reports_its_rates_and_stops_when_told(name: str) -> None:
    told: list[tuple[int, float, float]] = []

    def watch(number: int, loss: float, rate: float) -> bool:
        told.append((number, loss, rate))
        return number == 6

    torch.manual_seed(5)
    before = torch.rand(2)
    torch.manual_seed(5)
    one, again = (subject(name, "cpu").train(POINT, 3, watch) for _ in range(2))
    assert torch.equal(torch.rand(2), before)
    assert one.losses == again.losses == tuple(loss for _, loss, _ in told[:6])
    assert [number for number, *_ in told] == [*range(1, 7), *range(1, 7)]
    assert [rate for *_, rate in told[:6]] == pytest.approx(one.rates)
    assert not one.finished
    assert not one.diverged
    assert subject(name, "cpu").train(POINT, 4, watch).losses != one.losses


class Fake:
    """A subject that needs no training: its ends are 1 plus the distance of lr from 3e-3, in decades."""

    name = "transformer"
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.trained: list[tuple[Point, int]] = []

    def train(self, point: Point, seed: int, watch: Watch) -> Curve:
        self.trained.append((point, seed))
        whole = run_to(1 + abs(math.log10(point.lr / 3e-3)) + seed / 1000)
        losses = []
        for number, (loss, rate) in enumerate(zip(whole.losses, rates(point.lr), strict=True), 1):
            losses.append(loss)
            if watch(number, loss, rate):
                break
        return Curve(point, seed, tuple(losses))

    def about(self) -> Mapping[str, str]:
        return {"data": "none"}


def quiet(line: str) -> None:
    assert line


def test_recording_resumes_and_then_repeats_the_best_points(tmp_path: Path) -> None:
    first, second = Fake(), Fake()
    assert recording.record(tmp_path, {"transformer": first}, 12, 5, quiet) == 5
    recording.record(tmp_path, {"transformer": second}, 12, None, quiet)
    assert [seed for _, seed in first.trained] == [0] * 5
    assert [point for point, _ in first.trained + second.trained][:12] == [drawn(number) for number in range(12)]
    found = recording.recorded(tmp_path, "transformer")
    best = recording.best(tmp_path, "transformer")
    assert len(best) == recording.REPEATED
    assert max(found[number].final for number in best) <= min(c.final for n, c in found.items() if n not in best)
    assert second.trained[7:] == [(drawn(number), seed) for number in best for seed in recording.MORE_SEEDS]
    spread = Evidence(tmp_path).seeds_spread("transformer")
    assert spread is not None
    assert spread.value == pytest.approx(0.001, rel=0.1)
    assert recording.record(tmp_path, {"transformer": Fake()}, 12, None, quiet) == 0


# --- replays ---------------------------------------------------------------------------------------------------------


def test_without_a_rule_every_run_goes_to_its_end() -> None:
    curves = [run_to(1.0, 0), run_to(2.0, 1, 70, diverged=True), run_to(1.5, 2)]
    assert replaying.replay(curves, RULES["none"], LOSS, "s") == [200, 70, 200]
    assert replaying.survived(curves, [200, 70, 200]) == [0, 2]


def test_rungs_stop_whatever_is_not_in_the_better_half_so_far() -> None:
    curves = [run_to(end, number) for number, end in enumerate([1.5, 2.0, 1.4, 1.45])]
    assert replaying.replay(curves, RULES["rungs"], LOSS, "s") == [200, 25, 200, 50]


@pytest.mark.parametrize("name", ["wandb", "wandb strict", "rungs", "hyperband"])
@pytest.mark.parametrize("seen", [LOSS, "difference"])
def test_asking_at_the_rungs_alone_is_as_good_as_asking_always(name: str, seen: str) -> None:
    rng = np.random.default_rng(0)
    curves = [run_to(float(end), number, bumps=0.3) for number, end in enumerate(rng.uniform(1, 2, 12))]
    rule = RULES[name]
    always = Rule(rule.name, rule.settings, frozenset(range(1, EVALUATIONS)), history=True)
    spent = replaying.replay(curves, rule, seen, "s")
    assert spent == replaying.replay(curves, always, seen, "s")
    assert seen != LOSS or min(spent) < EVALUATIONS


def test_the_incumbent_is_compared_in_the_last_quarter_only_and_by_its_margin() -> None:
    curves = [run_to(1.0, 0, bumps=0.01), run_to(1.3, 1, bumps=0.01), run_to(0.9, 2, bumps=0.01)]
    assert replaying.replay(curves, RULES["incumbent"], LOSS, "s") == [200, 150, 200]
    curves[1] = run_to(1.1, 1, bumps=0.01)
    assert replaying.replay(curves, RULES["incumbent"], LOSS, "s") == [200, 200, 200]


# --- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "margin"), [(100, 0.5), (150, 0.5), (150, 3.0), (150, 60.0)])
def test_the_short_way_stops_what_the_pruner_itself_stops(first: int, margin: float) -> None:
    rng = np.random.default_rng(1)
    curves = [run_to(float(end), number, bumps=0.02) for number, end in enumerate(rng.uniform(1, 2, 12))]
    curves[3] = run_to(1.0, 3, 70, diverged=True)
    rule = Rule("i", Incumbent(margin, first=first), frozenset(range(first, EVALUATIONS)), history=True)
    assert margins.stopped(curves, margin, first, None) == replaying.replay(curves, rule, LOSS, "s")


def test_the_seeds_spread_is_pooled_over_points_at_every_evaluation(tmp_path: Path) -> None:
    for number, ends in enumerate([(1.0, 1.2), (2.0, 2.0), (5.0,)]):
        for seed, end in enumerate(ends):
            curve = Curve(drawn(number), seed, (end,) * EVALUATIONS)
            rows.append(tmp_path / "recorded_resnet.csv", {"number": number, **row(curve), "made": "x"})
    found = margins.seeds_spreads(tmp_path, "resnet")
    assert found is not None
    assert found.tolist() == pytest.approx([0.1] * EVALUATIONS)  # variances 0.02 and 0
    assert margins.seeds_spreads(tmp_path, "transformer") is None
    near = [run_to(1.0, 0), run_to(1.35, 1)]
    assert margins.stopped(near, 3.0, 150, found) == [200, 150]
    assert margins.stopped(near, 4.0, 150, found) == [200, 200]


def test_a_walk_stays_near_the_best_so_far() -> None:
    places = [Point(2.0**n * 1e-3, 0.1, 0.01) for n in range(8)]
    curves = [Curve(point, 0, (abs(n - 5.2),) * EVALUATIONS) for n, point in enumerate(places)]
    order = margins.walk_of(0, curves)
    assert sorted(order) == list(range(8))
    towards = order[: order.index(5) + 1]
    assert {abs(a - b) for a, b in pairwise(towards)} <= {1}, "step by step to the best, from whichever side"
    assert margins.stride(curves, 3) >= 1


def lost(**shares: float) -> list[Lost]:
    """Every margin of both first comparisons; a word such as half_3 says what share 3 from the half on loses."""
    found = []
    for first, word in zip(margins.FIRST, ("half", "late"), strict=True):
        for margin in margins.MARGINS:
            share = shares.get(f"{word}_{margin:g}", 0.0)
            found += [Lost(s, "walk", "seeds", first, margin, 1 / first - margin / 1e6, share, 0.0) for s in SUBJECTS]
    return found


def test_the_margin_that_is_safe_and_saves_most_is_chosen() -> None:
    assert margins.chosen(lost()) == (100, 1.0)
    assert margins.chosen(lost(half_4=0.02)) == (100, 6.0)
    assert margins.chosen(lost(half_16=0.02, late_2=0.011)) == (150, 3.0)
    assert margins.chosen(lost(half_16=0.02, late_2=0.01)) == (150, 1.0)
    assert margins.chosen(lost(half_16=1.0, late_16=1.0)) is None
    assert margins.chosen([]) is None


def test_a_row_of_a_replay_counts_what_was_saved_and_what_was_lost() -> None:
    curves = [run_to(1.5, 0), run_to(1.0, 1), run_to(1.2, 2), run_to(2.0, 3, 40, diverged=True)]
    told = replaying.told(curves, [200, 50, 200, 40], [200, 200, 25, 40], LOSS)
    assert (told["evaluations"], told["whole"], told["survivors"], told["shared"]) == (490, 640, 2, 1)
    assert (float(told["best"]), float(told["kept"]), float(told["picked"])) == pytest.approx((1.0, 1.2, 1.2), abs=0.01)
    assert float(told["as_much"]) == pytest.approx(1.0, abs=0.01)  # 490 evaluations pay for the first two


def test_orders_are_random_sweeps_of_some_of_the_runs() -> None:
    one = margins.order_of(0, 200)
    assert len(one) == len(set(one)) == margins.AT_ONCE
    assert one == margins.order_of(0, 200) != margins.order_of(1, 200)
    assert sorted(margins.order_of(2, 12)) == list(range(12))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    for name in SUBJECTS:
        for number in range(10):
            end = 1 + abs(math.log10(drawn(number).lr / 3e-3))
            rows.append(tmp_path / f"recorded_{name}.csv", {"number": number, **row(run_to(end, number)), "made": "x"})
    return tmp_path


def test_replays_are_made_once_and_again_when_there_are_more_runs(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [RULES["none"], RULES["rungs"]]
    monkeypatch.setattr(replaying, "rules", lambda: kept)
    said: list[str] = []
    replaying.replay_all(recorded, SUBJECTS, 1, said.append)
    made = rows.read(recorded / "replays.csv")
    assert {(r["rule"], r["seen"]) for r in made} == {(rule.name, s) for rule in kept for s in replaying.shown_to(rule)}
    assert len(made) == len(said) == 2 * (1 + 11)
    replaying.replay_all(recorded, SUBJECTS, 1, said.append)
    assert len(said) == 24
    end = {"number": 10, **row(run_to(1.1, 10)), "made": "x"}
    rows.append(recorded / "recorded_transformer.csv", end)
    replaying.replay_all(recorded, SUBJECTS, 1, said.append)
    assert len(said) == 24 + 12
    again = rows.read(recorded / "replays.csv")
    assert len(again) == len(made)
    assert {(r["subject"], r["recorded"]) for r in again} == {("transformer", "11"), ("resnet", "10")}


# --- sweeps ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_that_was_cut_off_goes_on_as_it_would_have(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder, budgets in ((whole, [None]), (cut, [5, 12, None])):
        folder.mkdir()
        for budget in budgets:
            sweeping.sweep_all(folder, {"transformer": Fake().train}, {"transformer": "x"}, 1, 13, budget, quiet)
    points = {}
    for seen in SEEN:
        one, other = (sweeping.on_file(folder, "transformer", seen, 0) for folder in (whole, cut))
        assert one == other
        assert len(one) == 13
        assert {len(curve.losses) for curve in one} >= {25, 200}
        points[seen] = [curve.point for curve in one]
    assert points[LOSS][:10] == points["sign"][:10] == points["difference"][:10]
    assert points[LOSS][10:] != points["sign"][10:]


@pytest.mark.slow
@pytest.mark.skipif(
    any(made["optuna"] != optuna.__version__ for made in json.loads((HERE / "provenance.json").read_text()).values()),
    reason="another Optuna may propose other points than the one that the rows were made with",
)
@pytest.mark.parametrize("name", SUBJECTS)
def test_the_sweeps_on_file_are_those_that_going_on_would_make(name: str) -> None:
    for seen in SEEN:
        sweep, known = sweeping.Sweep(name, seen, 0), sweeping.on_file(HERE, name, seen, 0)
        assert len(known) == setting.TRIALS
        for curve in known:
            sweep.step(sweeping.looked_up(curve))


def test_every_repetition_begins_with_points_of_its_own() -> None:
    first = [sweeping.Sweep("transformer", LOSS, repetition).step(Fake().train) for repetition in (0, 1)]
    assert first[0].point != first[1].point
    assert [curve.seed for curve in first] == [0, 1]


def test_rows_of_another_sweep_are_refused() -> None:
    with pytest.raises(StudyError, match="move sweeps_"):
        sweeping.Sweep("transformer", LOSS, 0).step(sweeping.looked_up(run_to(1.0)))


# --- findings and page -----------------------------------------------------------------------------------------------


def test_foresight_of_curves_that_never_cross_is_perfect() -> None:
    curves = [run_to(end, number) for number, end in enumerate(np.linspace(1, 2, 20))]
    found = findings.foresight(curves, LOSS)
    assert found.whole == pytest.approx((1.0, 1.0, 1.0))
    assert found.better == pytest.approx((1.0, 1.0, 1.0))
    assert found.kept == (1.0, 1.0, 1.0)
    backwards = findings.foresight(curves, "sign@1.01")
    assert backwards.whole[0] < 0  # all is warm-up by then, where a high loss is a reward


@pytest.mark.parametrize(
    ("values", "sign"), [
        ([-1.0, -1.2, -0.8], -1), ([1.0, 1.2], 1), ([1.0, -1.0], 0), ([1.0], 0), ([math.inf, 2.0], 0),
        ([1.0, 1.9], 1), ([1.0, 2.1], 0),
    ],
)  # fmt: skip
def test_a_difference_counts_beyond_three_standard_errors(values: list[float], sign: int) -> None:
    found = findings.mean(values)
    assert found is not None
    assert found.sign == sign


def test_paired_differences_by_hand() -> None:
    found = Paired((-1.0, -2.0, -3.0, -2.0, -2.0))
    assert (found.mean, found.lower, found.sign) == (-2.0, 5, -1)
    assert found.interval == pytest.approx((-2 - 2.7764 * math.sqrt(0.1), -2 + 2.7764 * math.sqrt(0.1)), abs=1e-4)
    low, high = found.bootstrap
    assert found.interval[0] < low < -2 < high < found.interval[1], "the bootstrap's is narrower"
    assert Paired((-1.0, 3.0, -1.0)).sign == 0
    blown = Paired((-1.0, -1.1, -1.2), blown=2)
    assert (blown.lower, blown.count, blown.sign) == (3, 5, 0), "what diverges has not won"
    assert sign_test(blown.signed)[:2] == (3, 5)
    assert verdict.words(blown).endswith("lower in 3 of 5 (2 diverged, in no mean)")
    spared = Paired((1.0, 1.1, 1.2), spared=2)
    assert (spared.lower, spared.count, spared.sign) == (2, 5, 0), "what did not diverge has not lost"
    assert sign_test(spared.signed)[:2] == (2, 5)
    assert verdict.words(spared).endswith("lower in 2 of 5 (of the loss, 2 diverged, in no mean)")
    assert sign_test([-1.0] * 9 + [1.0, 0.0]) == (9, 10, pytest.approx(22 / 1024))
    assert sign_test([-1.0] * 5)[2] == pytest.approx(1 / 16)
    assert sign_test([0.0]) == (0, 0, 1.0)


def test_the_metric_earns_its_place_by_being_lower_somewhere_and_higher_nowhere() -> None:
    low, high, none = Paired((-1.0, -1.1)), Paired((1.0, 1.1)), Paired((1.0, -1.1))
    assert [one.sign for one in (low, high, none)] == [-1, 1, 0]
    assert verdict.earns([low, none])
    assert not verdict.earns([low, high])
    assert not verdict.earns([none, none])
    assert not verdict.earns([None, none])
    assert verdict.harms([high, none])
    assert not verdict.harms([high, low])


def test_what_is_not_seen_is_not_excluded_and_one_subject_may_decide() -> None:
    harm, open_ = Paired((1.0, 1.1)), Paired((1.0, -1.1))
    none = verdict.variant_words("difference", {"transformer": open_, "resnet": Paired((0.1, -0.1))})
    assert none == "As difference no gain was seen; gains up to 13 (transformer) and 1.3 (resnet) are not excluded."
    one = verdict.variant_words("sign", {"transformer": harm, "resnet": open_})
    assert one == "It does harm as sign, which the transformer decides alone (sign test over both subjects: p = 0.62)."
    sure = Paired((1.0, 1.1, 1.2, 1.0, 1.1))
    assert verdict.variant_words("sign", {"transformer": sure, "resnet": sure}) == "It does harm as sign."
    both = verdict.variant_words("sign", {"transformer": sure, "resnet": Paired((-1.0, -1.1))})
    assert both == "As sign it gains on the resnet and does harm on the transformer."


@pytest.mark.slow
@pytest.mark.parametrize("ours", [True, False])
def test_a_winner_that_diverges_anew_counts_for_the_other_side(ours: bool, recorded: Path) -> None:
    swept(recorded, LOSS, 5)
    first = Evidence(recorded).sweeps("resnet")["sign" if ours else LOSS, 0].winner
    assert first is not None

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        blown = point == first.point
        return Curve(point, seed, run_to(1.0).losses[: 50 if blown else None], diverged=blown)

    confirming.confirm_all(recorded, dict.fromkeys(SUBJECTS, train), dict.fromkeys(SUBJECTS, "x"), None, quiet)
    found = Evidence(recorded).difference("resnet", "sign", "confirmed")
    assert found is not None
    assert (len(found.differences), found.count, found.blown, found.spared) == (4, 5, int(ours), int(not ours))


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    drawn_files = page.results(tmp_path)
    assert set(drawn_files) == {"README.md"}
    text = str(drawn_files["README.md"])
    assert "not decided yet" in text
    assert text.lower().count("not measured yet") == 11


def swept(folder: Path, better: str, repetitions: int) -> None:
    """Sweeps that trained, in which one thing that is shown leads lower than the others."""
    made = []
    for repetition in range(repetitions):
        for seen in SEEN:
            for trial in range(setting.TRIALS):
                end = 1 + trial / 10 + repetition / 100 - (0.5 if seen == better else 0)
                number = trial if trial else 100 + 10 * repetition + SEEN.index(seen)  # winners are all different
                key = {"repetition": repetition, "seen": seen, "trial": trial}
                made.append({**key, **row(run_to(end, number, 200 if trial < 4 else 25)), "made": "x"})
    for name in SUBJECTS:
        rows.write(folder / f"sweeps_{name}.csv", list(made[0]), made)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "repetitions", "said"),
    [
        ("sign", 5, "The metric (κ 1.02, window 5) earns its place as sign**"),
        (LOSS, 5, "The metric (κ 1.02, window 5) does not earn its place**"),
        ("sign", 4, "is not decided yet**"),
    ],
)
def test_the_verdict_says_what_the_rows_say(better: str, repetitions: int, said: str, recorded: Path) -> None:
    swept(recorded, better, repetitions)
    text = page.draw(Evidence(recorded))
    assert said in text
    assert f"{repetitions} repetitions of 40 trials" in text
    assert page.readme_blocks(recorded)["edge-sweep"].startswith("**")
    if repetitions == 5:
        assert "the winners have not been trained anew yet" in text
        assert ("It does harm as sign. It does harm as difference." in text) == (better == LOSS)
        lower = 10 if better == "sign" else 0
        assert f"sign ends lower in {lower} of 10 repetitions (two-sided sign test, p = 0.002)" in text


@pytest.mark.slow
def test_winners_trained_anew_decide_instead(recorded: Path) -> None:
    """Shown sign, sweeps end lowest, but their winners are worth less with other seeds."""
    swept(recorded, "sign", 5)
    trained: list[tuple[Point, int]] = []

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        assert watch(1, 1.0, 0.1) is False
        trained.append((point, seed))
        end = 1.0 + seed / 1e6 + (0.3 if point in better else 0.0)
        return Curve(point, seed, run_to(end).losses)

    evidence = Evidence(recorded)
    whole = evidence.sweeps("resnet").values()
    better = {sweep.winner.point for sweep in whole if sweep.seen == "sign" and sweep.winner}
    assert len(better) == 5
    trains, made = {"transformer": train, "resnet": train}, {"transformer": "x", "resnet": "x"}
    assert confirming.confirm_all(recorded, trains, made, 7, quiet) == 7
    assert "have not been trained anew yet" in verdict.trained_words(Evidence(recorded))
    confirming.confirm_all(recorded, trains, made, None, quiet)
    assert len(trained) == 2 * len(FRESH_SEEDS) * 3 * 5, "a winner of one thing shown and repetition, three seeds each"
    assert confirming.confirm_all(recorded, trains, made, None, quiet) == 0
    evidence = Evidence(recorded)
    found = evidence.difference("resnet", "sign", "confirmed")
    assert found is not None
    assert found.mean == pytest.approx(0.3, abs=1e-3)
    said = verdict.trained_words(evidence)
    assert "**The metric (κ 1.02, window 5) does not earn its place**: the final loss of the sweep's winner" in said
    assert "trained anew with 3 fresh seeds" in said
    assert "only the seeds are fresh" in said
    assert "It does harm as sign." in said
    assert "winner trained anew, each" in page.draw(evidence)


def test_for_as_many_evaluations_the_thriftier_side_sets_the_limit(recorded: Path) -> None:
    """Shown sign, a sweep stops its first trial early, and the loss has as much less to spend."""
    swept(recorded, LOSS, 2)
    path = recorded / "sweeps_resnet.csv"
    made = [old for old in rows.read(path) if old["seen"] == "difference" or old["trial"] != "0"]
    for repetition in range(2):
        for seen, end, length in ((LOSS, 1.5, 200), ("sign", 2.0, 25)):
            key = {"repetition": str(repetition), "seen": seen, "trial": "0"}
            made.append({**key, **row(run_to(end, 90, length)), "made": "x"})
    made.sort(key=lambda old: (old["repetition"], old["seen"], int(old["trial"])))
    rows.write(path, list(made[0]), made)
    evidence = Evidence(recorded)
    sign, plain = evidence.sweeps("resnet")["sign", 0], evidence.sweeps("resnet")[LOSS, 0]
    assert plain.evaluations - sign.evaluations == 175
    assert plain.within(199) == math.inf
    assert plain.within(200) == pytest.approx(1.5, abs=0.01)
    assert plain.within(plain.evaluations) == plain.best
    found = evidence.difference("resnet", "sign", "as_much")
    assert found is not None
    assert found.mean == pytest.approx(sign.best - plain.within(sign.evaluations), abs=1e-4)


def test_a_table_tells_which_of_the_first_points_survive(recorded: Path) -> None:
    swept(recorded, "sign", 1)
    path = recorded / "sweeps_resnet.csv"
    made = rows.read(path)
    changed = {"0": row(run_to(1.0, 0, 25)), "4": row(run_to(1.0, 4))}  # shown sign, the fifth goes on, not the first
    made = [{**old, **(changed.get(old["trial"], {}) if old["seen"] == "sign" else {})} for old in made]
    rows.write(path, list(made[0]), made)
    text = page.draw(Evidence(recorded))
    (line,) = (line for line in text.split("**resnet**, of 10 points")[1].splitlines() if line.startswith("| sign"))
    assert line.split("|")[2:6] == [" 4 ", " 3 ", " 1 ", " 1 "]


@pytest.mark.slow
def test_a_page_of_everything_leaves_nothing_out(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(recorded, LOSS, 1)
    kept = [RULES["none"], RULES["rungs"], RULES["incumbent"]]
    monkeypatch.setattr(replaying, "rules", lambda: kept)
    replaying.replay_all(recorded, SUBJECTS, 1, quiet)
    margins.replay_all(recorded, SUBJECTS, 2)
    drawn_files = page.results(recorded)
    assert set(drawn_files) == {"README.md", "transformer.png", "resnet.png"}
    assert "not measured yet" not in str(drawn_files["README.md"]).lower()
    assert "`pruner.margin` is 3 by default, from 75% of a run on" in str(drawn_files["README.md"])
    assert str(drawn_files["README.md"]).lower().count("too few runs are recorded to say anything (10, ") == 4
    assert "2 searches of each kind over 10 runs" in str(drawn_files["README.md"])


def test_replays_of_enough_runs_are_judged(tmp_path: Path) -> None:
    made = []
    for name in SUBJECTS:
        for rule, seen, kept in (("rungs", LOSS, 1.2), ("rungs", "sign", 1.5), ("rungs", "difference", 1.1)):
            for order in range(4):
                numbers = {"evaluations": 50, "whole": 100, "survivors": 2, "shared": 1, "best": 1.0, "picked": 1.2}
                key = {"subject": name, "rule": rule, "seen": seen, "order": order, "recorded": 100}
                made.append({**key, **numbers, "kept": kept + order / 1000, "as_much": 1.4 + order / 500})
    rows.write(tmp_path / "replays.csv", list(made[0]), made)
    evidence = Evidence(tmp_path)
    said = verdict.replayed_words(evidence, "resnet")
    assert "sign +0.3000 ± 0.0000, which is worse" in said
    assert "difference -0.1000 ± 0.0000, which is better" in said
    assert "better: rungs (told apart only beyond 3 standard errors, " in verdict.pruning_words(evidence, "resnet")
    assert evidence.replays("resnet")[0].saved == 0.5


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["colour=red"], "colour"), (["only=all"], "only"), (["budget=0"], "budget"), (["runs=x"], "runs")],
)
def test_a_mistake_names_the_key(arguments: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        command.read(arguments)
