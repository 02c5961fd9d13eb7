"""Searches that look at the loss at the peak of the rate: known answers of the model, paired searches, the page."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rows
from benchmarks.runs_to_target import conditions, fitting, methods, repeating
from benchmarks.runs_to_target.repeating import Trace
from benchmarks.signals import __main__ as command
from benchmarks.signals import gains, peaks, searching
from benchmarks.signals.correlated import Correlated, PeakRun, looking_at_peaks
from benchmarks.signals.peaks import PeakSurface, early_row, with_peaks
from benchmarks.signals.searching import LOOKS
from flatdirs.search import bayes as flat
from flatdirs.search import grid_chart
from flatdirs.search.gp import Hypothesis, Model
from flatdirs.search.score_warping import BELOW, warp
from flatdirs.space.grid import Grid as Lattice
from flatdirs.space.library import named_chart
from flatdirs.space.log_grid import Array
from flatdirs.space.log_grid import LogGrid as Geometry
from tests.test_scouts import STEPS
from tests.test_scouts import ground as ground_of

START = {"lr": 0.1, "momentum": 0.9, "wd": 0.001}
GEOMETRY = Geometry(Lattice(grid_chart("flatdirs", named_chart("sgd")), START))
PLACES = np.array([[1.0, 0.0, 0.0], [5.0, 2.0, -3.0], [-9.0, 1.0, 4.0]])


def runs(broken: int = 1) -> list[PeakRun]:
    """A few runs along the steep axis and beside it, with losses at the peak that know more than the scores."""
    points = [(step, side, -side) for step in (-6, -2, 0, 3, 7) for side in (0, 4)]
    found = [PeakRun(p, 90.0 - 0.3 * p[0] ** 2 - 0.1 * p[1], 1.0, peak=-0.5 - abs(p[0] - 1) / 10) for p in points]
    return [replace(run, score=-math.inf, peak=None) if i < broken else run for i, run in enumerate(found)]


def covariance(one: Hypothesis, model: Model, points: Array, others: Array) -> Array:
    """Matérn 5/2 between points, as the module's text has it."""
    gaps = model._places(points, one.shape, one.stretch)[:, None] - model._places(others, one.shape, one.stretch)[None]
    distance = math.sqrt(5) * np.linalg.norm(gaps, axis=2)
    found: Array = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return found


@pytest.mark.parametrize("r", [0.0, 0.5, 1.0])
def test_the_score_is_believed_as_two_correlated_processes_have_it(r: float) -> None:
    made = runs()
    model = Correlated(GEOMETRY, made, [r])
    seen = np.array([run.point for run in made if run.peak is not None], dtype=float)
    peaks = warp(np.array([run.peak for run in made if run.peak is not None]))[2]
    off_peaks = peaks - peaks.max() + BELOW
    belief = model.believe(PLACES)
    for number, one in enumerate(model.hypotheses):
        blocks = [[covariance(one, model, a, b) for b in (model.points, seen)] for a in (model.points, seen)]
        whole = np.block([[blocks[0][0], r * blocks[0][1]], [r * blocks[1][0], blocks[1][1]]])
        noisy = whole + one.noise**2 * np.eye(len(whole))
        across = np.hstack([covariance(one, model, PLACES, model.points), r * covariance(one, model, PLACES, seen)])
        off = np.concatenate([model.values - model._prior(model.points, one.relaxes), off_peaks])
        mean = model._prior(PLACES, one.relaxes) + across @ np.linalg.solve(noisy, off)
        left = 1 - np.einsum("ij,ji->i", across, np.linalg.solve(noisy, across.T))
        assert belief.mean[number] == pytest.approx(mean, abs=1e-6)
        assert belief.deviation[number] == pytest.approx(np.sqrt(left * one.scale), rel=1e-5)


def test_without_losses_at_the_peak_the_model_is_the_searchs_own() -> None:
    bare = [replace(run, peak=None) for run in runs()]
    own, found = Model(GEOMETRY, bare), Correlated(GEOMETRY, bare, [0.0, 0.7])
    assert found.mean(PLACES) == pytest.approx(own.mean(PLACES), abs=1e-12)
    assert found.worth(PLACES) == pytest.approx(own.worth(PLACES), abs=1e-12)


def test_exact_losses_at_the_peak_mend_what_noisy_scores_say() -> None:
    random = np.random.default_rng(0)
    points = [tuple(row) for row in random.integers(-8, 9, (25, 3)).tolist()]
    worth = np.array([-abs(p[0] - 2) - 0.2 * abs(p[1]) for p in points])
    noisy = worth + random.normal(0, 3, len(points))
    made = [PeakRun(p, 90 + score, 1.0, peak=0.1 * true) for p, score, true in zip(points, noisy, worth, strict=True)]
    own, found = Model(GEOMETRY, made), Correlated(GEOMETRY, made, [0.0, 0.9])
    assert np.corrcoef(found.mean(own.points), worth)[0, 1] > np.corrcoef(own.mean(own.points), worth)[0, 1] + 0.02


@cache
def ground() -> PeakSurface:
    """A made-up surface whose loss at the peak is 1 at the best and grows with every point below it; no noise in it."""
    whole = ground_of(STEPS)
    grid = whole.grid.copy()
    grid[..., 1] = (whole.grid[..., 0].max() - whole.grid[..., 0]) / 10
    residuals = whole.cells.spread.residuals * [1, 0, 1]
    spread = replace(whole.cells.spread, residuals=residuals)
    return with_peaks(whole, replace(whole, grid=grid, cells=replace(whole.cells, spread=spread)))


def test_a_run_tells_the_loss_at_the_peak_and_is_else_the_same() -> None:
    whole = ground_of(STEPS)
    for seed in range(5):
        plain = whole.observe(START, np.random.default_rng(seed), 0.3)
        found = ground().observe(START, np.random.default_rng(seed), 0.3)
        early = (whole.grid[..., 0].max() - float(fitting.warp(np.array(whole.value(START))))) / 10
        assert {**vars(found), "peak_loss": None} == {**vars(plain), "peak_loss": None}
        assert found.peak_loss == pytest.approx(math.exp(early), rel=1e-6)
        outcome = ground().outcome(found)
        assert outcome.peak == pytest.approx(-early, abs=1e-6)
        assert outcome.value == plain.accuracy


def test_the_row_of_a_lattice_has_the_loss_of_the_epoch_with_the_peak() -> None:
    curve = ";".join(str(number) for number in range(1, 21))
    assert early_row({"loss": "20", "loss_curve": curve, "diverged": "0"})["loss"] == "5"
    assert early_row({"loss": "", "loss_curve": "", "diverged": "1"})["loss"] == ""


def test_only_the_looks_that_look_at_it_are_led_by_the_loss_at_the_peak() -> None:
    searches = {look: searching.search(ground(), "careless_low", look, 1, budget=14).values for look in LOOKS}
    begin = conditions.start("digits", "careless_low", 1)
    plain = methods.Own("flatdirs", ground_of(STEPS), begin.hyperparameters)
    alone = repeating.follow(plain, Trace(0.0, 0.0), ground_of(STEPS), 1, True, 14)
    assert searches["score"] == alone.values
    assert searches["evidence"][:3] == searches["fixed"][:3] == alone.values[:3]
    assert searches["fixed"] != alone.values
    assert len(alone.values) == 14


def test_the_search_has_its_own_model_and_memory_back_after_a_failure() -> None:
    before = flat.model_of, flat._remembered
    broken: dict[str, int] = {}
    with pytest.raises(KeyError), looking_at_peaks([0.5]):
        broken["run"]
    with looking_at_peaks([0.5]):
        assert flat.model_of is not before[0]
    assert flat.model_of is before[0]
    assert flat._remembered is before[1]


def made_up(folder: Path, saved: float, gained: float, key: str = "") -> gains.Searches:
    """Two seeds of every case: looks save so many runs and gain so many points; seed 0 never arrives at 0.5 % alone."""
    found = []
    for case in searching.cases(searching.LATTICES):
        for seed in range(2):
            better = case[2] != "score"
            runs = [20.0 - (saved + 0.5 * seed) * better] * 2
            last = "" if seed == 0 and not better else f"{25.0 - saved * better:g}"
            points = [95 + (gained + 0.01 * seed) * better] * 3
            values = [*(f"{x:g}" for x in runs), last, *(f"{x:.3f}" for x in points)]
            named = dict(zip(("lattice", "start", "look"), case, strict=True))
            named |= {"seed": str(seed), "key": key or searching.key_of(case)}
            found.append({**named, **dict(zip(searching.MEASURES, values, strict=True))})
    rows.write(folder / searching.FILE, searching.FIELDS, found)
    return gains.Searches(folder)


def test_gains_are_means_over_paired_seeds_and_never_is_one_run_more_than_the_budget(tmp_path: Path) -> None:
    searches = made_up(tmp_path, saved=2.0, gained=0.05)
    one = searches.gains([("digits", "auto")], "evidence")
    assert [gain.value for gain in one] == pytest.approx([2.25, 2.25, (31 - 23 + 2) / 2, 0.055, 0.055, 0.055])
    assert [gain.value for gain in searches.gains(searches.places, "fixed")] == pytest.approx([g.value for g in one])
    assert (one[0].low, one[0].high) == pytest.approx((2.0, 2.5))
    means, never = searches.means(("digits", "auto"))
    assert means[:3] == pytest.approx([20, 20, 28])
    assert never.tolist() == [0, 0, 0.5]


@pytest.mark.parametrize(
    ("saved", "gained", "said"),
    [
        (2.0, 0.05, "the search **gains**"),
        (-9.0, -0.05, "the search **loses**"),
        (2.0, -0.05, "the search **gains at some counts and loses at others**"),
    ],
)
def test_the_page_says_what_the_rows_say(tmp_path: Path, saved: float, gained: float, said: str) -> None:
    text = "\n".join(gains.section(made_up(tmp_path, saved, gained)))
    assert text.count(said) == 2
    assert ("**Yes, the search gains: evidence and fixed.**" in text) == ("**gains**" in said)
    assert ("**No, the search does not gain.**" in text) == ("**gains**" not in said)
    assert "of 2700 searches so far" in text
    assert "rows are of an earlier search" not in text
    assert "does not arrive within 30 runs counts as 31" in text


def test_no_clear_difference_is_neither_gain_nor_loss() -> None:
    nothing = gains.gains(np.array([[1.0, -2.0], [-1.0, 2.0], [0.5, 1.0], [-0.5, -1.0]]))
    assert gains.verdict(nothing) == "neither gains nor loses"


def test_rows_of_another_search_are_seen_as_stale(tmp_path: Path) -> None:
    assert made_up(tmp_path, 1.0, 0.0).stale == 0
    text = "\n".join(gains.section(made_up(tmp_path, 1.0, 0.0, key="old")))
    assert "54 of the 54 rows are of an earlier search" in text


def test_without_rows_the_page_says_so(tmp_path: Path) -> None:
    assert "Not simulated yet" in "\n".join(gains.section(gains.Searches(tmp_path)))


def test_searches_on_file_with_their_key_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SEEDS", 2)
    monkeypatch.setattr(peaks, "named", lambda name: ground())
    made = []

    def search(ground: PeakSurface, start: str, look: str, seed: int) -> Trace:
        made.append((start, look, seed))
        return Trace(0.0, 50.0, [ground.best, 40.0], [60.0] * 30)

    monkeypatch.setattr(searching, "search", search)
    searching.run(["digits"], tmp_path, lambda line: None)
    assert len(made) == len(set(made)) == 2 * len(LOOKS) * len(searching.STARTS)
    first = (tmp_path / searching.FILE).read_text(encoding="utf-8")
    assert "digits,auto,score,0," in first
    assert ",1,1,1,60.000,60.000,60.000" in first
    searching.run(["digits"], tmp_path, lambda line: None)
    assert len(set(made)) == len(made)
    monkeypatch.setattr(searching, "VERSION", searching.VERSION + 1)
    searching.run(["digits"], tmp_path, lambda line: None)
    assert len(made) == 2 * len(set(made))
    assert len(rows.read(tmp_path / searching.FILE)) == len(set(made))


def test_a_lattice_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["lattice=moon"]) == 2
    assert "lattice=moon must be of digits" in capsys.readouterr().err
