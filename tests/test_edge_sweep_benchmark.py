"""benchmarks/edge_sweep: replays with known answers, measuring that resumes, a page that says what its rows say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch

from benchmarks import rows
from benchmarks.edge_sweep import __main__ as command
from benchmarks.edge_sweep import page, replaying, runs
from benchmarks.edge_sweep.models import Train, Watch, trainers
from benchmarks.edge_sweep.runs import EVALUATIONS, LOSS, SEEN, SUBJECTS, Curve, Point, curve_of, drawn, row
from flatdirs.backend.pruner_settings import Incumbent
from flatdirs.errors import StudyError
from flatdirs.training.edge_metric import EdgeOfStability
from flatdirs.training.metrics import evaluator


def run_to(end: float, number: int = 0, length: int = EVALUATIONS, diverged: bool = False, bumps: float = 0.0) -> Curve:
    """A loss that falls from 3 to `end`, always above that of a run with a lower end."""
    losses = end + (3 - end) * np.exp(-np.arange(1, length + 1) / 30) + bumps * (np.arange(length) % 2)
    return Curve(drawn(number), 0, tuple(float(f"{loss:.5g}") for loss in losses), diverged)


def fake(trained: list[tuple[Point, int]]) -> Train:
    """A model that needs no training: its loss ends at 1 plus the distance of lr from 3e-3, in decades."""

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        trained.append((point, seed))
        losses = run_to(1 + abs(math.log10(point.lr / 3e-3)) + seed / 1000).losses
        rates = enumerate(Curve(point, seed, losses).rates)
        stopped = next((at + 1 for at, rate in rates if watch(at + 1, losses[at], rate)), None)
        return Curve(point, seed, losses[:stopped])

    return train


def ways(folder: Path, train: Train, *budgets: int | None) -> Iterator[command.Work]:
    """Commands that measure in `folder`, one after the other."""
    for budget in budgets:
        with (folder / "claims.lock").open("a") as claims:
            yield command.Work(folder, dict.fromkeys(SUBJECTS, train), dict.fromkeys(SUBJECTS, "x"), claims, budget)


@pytest.mark.parametrize("curve", [run_to(1.0), run_to(1.0, length=50), run_to(1.0, length=60, diverged=True)])
def test_a_row_gives_its_run_back(curve: Curve) -> None:
    assert curve_of({name: str(value) for name, value in row(curve).items()}) == curve
    assert curve.final == (curve.losses[-1] if curve.finished else math.inf)


@pytest.mark.parametrize("variant", ["sign", "difference"])
def test_pruners_are_shown_the_metric(variant: str) -> None:
    curve = run_to(1.0, bumps=0.1)
    value_of = evaluator(EdgeOfStability(variant, 1.05))  # as a study of the trainer has it
    epochs = (SimpleNamespace(loss=loss, lr=rate) for loss, rate in zip(curve.losses, curve.rates, strict=True))
    assert curve.seen(f"{variant}@1.05") == pytest.approx(list(map(value_of, epochs)), nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_model_trains_alike_and_stops_when_told(name: str) -> None:
    train, point = trainers((name,), "cpu")[name], Point(1e-3, 0.1, 0.01)
    before = torch.get_rng_state()
    one, again, other = (train(point, seed, lambda number, *_: number == 6) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.losses == again.losses != other.losses
    assert (len(one.losses), one.finished, one.diverged) == (6, False, False)


def test_recording_resumes_and_then_repeats_the_best_points(tmp_path: Path) -> None:
    trained: list[tuple[Point, int]] = []
    for work in ways(tmp_path, fake(trained), 5, None, None):
        work.train("recorded", lambda: command.to_record(tmp_path, SUBJECTS[:1], 12))
    assert trained[:12] == [(drawn(number), 0) for number in range(12)]
    finals = {number: curve.final for number, curve in enumerate(replaying.recorded(tmp_path, SUBJECTS[0]))}
    best = sorted(finals, key=lambda number: finals[number])[: command.REPEATED]
    assert trained[12:] == [(drawn(number), seed) for number in best for seed in command.MORE_SEEDS]
    assert replaying.seed_noise(tmp_path, SUBJECTS[0])[-1] == pytest.approx(0.001, rel=0.1)


def test_rungs_and_the_incumbent_stop_what_they_should() -> None:
    curves = [run_to(end, number, bumps=0.01) for number, end in enumerate([1.5, 2.0, 1.4, 1.45])]
    assert replaying.replay(curves, replaying.RULES["rungs"], LOSS, "s") == [200, 25, 200, 50]
    assert replaying.replay(curves, replaying.RULES["incumbent"], LOSS, "s") == [200, 150, 200, 200]
    diverged = run_to(2.0, 4, 70, diverged=True)
    assert replaying.replay([*curves, diverged], replaying.RULES["none"], LOSS, "s") == [200, 200, 200, 200, 70]


@pytest.mark.parametrize("margin", [0.5, 3.0, 60.0])
def test_margins_stop_what_the_pruner_itself_stops(margin: float) -> None:
    ends = np.random.default_rng(1).uniform(1, 2, 12)
    curves = [run_to(float(end), number, bumps=0.02) for number, end in enumerate(ends)]
    curves[3] = run_to(1.0, 3, 70, diverged=True)
    found = replaying.replay(curves, Incumbent(margin, first=150), LOSS, "s")
    assert replaying.stopped(curves, margin, 150, None) == found


def test_a_walk_stays_near_the_best_so_far() -> None:
    curves = [Curve(Point(2.0**n * 1e-3, 0.1, 0.01), 0, (abs(n - 5.2),) * EVALUATIONS) for n in range(8)]
    order, strides = replaying.walk_of(0, curves)
    assert sorted(order) == list(range(8))
    assert {abs(a - b) for a, b in pairwise(order[: order.index(5) + 1])} <= {1}
    assert min(strides) == pytest.approx(1)


def test_a_replay_counts_what_was_saved_and_lost() -> None:
    curves = [run_to(1.5, 0), run_to(1.0, 1), run_to(1.2, 2), run_to(2.0, 3, 40, diverged=True)]
    told = replaying.told(curves, [200, 50, 200, 40], [200, 200, 25, 40], LOSS)
    assert (told["evaluations"], told["whole"], told["survivors"], told["shared"]) == (490, 640, 2, 1)
    losses = [float(told[name]) for name in ("best", "kept", "picked", "as_much")]
    assert losses == pytest.approx([1.0, 1.2, 1.2, 1.0], abs=0.01)  # 490 evaluations pay for the first two


@pytest.mark.slow
def test_a_sweep_that_was_cut_off_goes_on_as_it_would_have(tmp_path: Path) -> None:
    found: dict[str, list[list[Point]]] = {seen: [] for seen in SEEN}
    for name, budgets in (("whole", (None,)), ("cut", (5, 12, None))):
        (tmp_path / name).mkdir()
        for work in ways(tmp_path / name, fake([]), *budgets):
            work.sweep(1, 13)
        for seen, points in found.items():
            points.append([curve.point for curve in command.on_file(tmp_path / name, SUBJECTS[0])[seen, 0]])
    assert all(whole == cut and len(whole) == 13 for whole, cut in found.values())
    assert found[LOSS][0][:10] == found["sign"][0][:10]
    assert found[LOSS][0][10:] != found["sign"][0][10:]


@pytest.mark.slow
@pytest.mark.skipif(
    f'"optuna": "{optuna.__version__}"' not in (runs.HERE / "provenance.json").read_text(),
    reason="another Optuna may propose other points",
)
def test_the_sweeps_on_file_are_those_that_going_on_would_make() -> None:
    for name, seen, _ in command.plan(1, SUBJECTS):
        sweep = command.Sweep(name, seen, 0)
        for curve in command.on_file(runs.HERE, name)[seen, 0]:
            sweep.step(command.looked_up(curve))
    with pytest.raises(StudyError):
        sweep.step(command.looked_up(run_to(1.0)))


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Recorded runs, replays, margins and sweeps of both subjects; shown sign, sweeps end 0.5 lower."""
    for name in SUBJECTS:
        ends = [(number, row(run_to(1 + number / 20, number))) for number in range(20)]
        found = [{"number": number, **end, "made": "x"} for number, end in [*ends, (0, row(run_to(1.1)))]]
        rows.write(tmp_path / f"recorded_{name}.csv", list(found[0]), found)
        for rule in ("rungs", "incumbent"):
            replaying.replay_pruners(tmp_path, name, rule, 2)
        made = []
        for _, seen, repetition in command.plan(3, [name]):
            for trial in range(runs.TRIALS):
                end = 1.5 + trial / 10 + (repetition / 100 - 0.5 if seen == "sign" else 0)
                number = trial or 100 + 10 * repetition + SEEN.index(seen)  # each sweep has a winner of its own
                key = {"repetition": repetition, "seen": seen, "trial": trial}
                made.append({**key, **row(run_to(end, number, EVALUATIONS if trial < 4 else 25)), "made": "x"})
        rows.write(tmp_path / f"sweeps_{name}.csv", list(made[0]), made)
    about = {"order": "walk", "unit": "seeds", "stride": 2.5, "per_jitter": 6.2}
    rules = {(100, 1): (0.5, 0.0), (100, 3): (0.4, 0.02), (150, 1): (0.3, 0.02), (150, 3): (0.2, 0.01)}
    margins = [
        {"subject": name, "first": first, "margin": margin, "saved": saved, "lost": lost, **about}
        for name in SUBJECTS
        for (first, margin), (saved, lost) in rules.items()
    ]
    rows.write(tmp_path / "margins.csv", list(margins[0]), margins)
    return tmp_path


@pytest.mark.slow
def test_winners_are_retrained_once_and_the_page_shows_what_they_reach(measured: Path) -> None:
    signs = {sweep[0].point for n in SUBJECTS for key, sweep in command.on_file(measured, n).items() if "sign" in key}
    trained, noise = list[tuple[Point, int]](), np.random.default_rng(0)

    def train(point: Point, seed: int, watch: Watch) -> Curve:
        trained.append((point, seed))
        return Curve(point, seed, run_to(2.0 + 0.3 * (point in signs) + noise.normal(0, 1e-3)).losses)

    for work in ways(measured, train, 7, None, None):
        work.train("confirmed", lambda: command.to_confirm(measured, SUBJECTS))
    assert len(trained) == 2 * 3 * 3 * 3  # subjects, repetitions, things shown, seeds
    found = page.values(measured)
    assert found["gains"].count("lower in 0 of 3") == 2
    assert (found["sign-lower"], found["first"], found["margin"]) == ("0 of 6", "150", "3")
    assert "lower in 3 of 3" in found["sweeps"]  # what the sweeps themselves saw, before fresh seeds
    assert set(page.figures(measured)) == {"correlation.png"}
    plain, sign, _ = page.foresight(measured, SUBJECTS[0])  # curves that never cross
    assert [plain[f"all, {rung}"] for rung in runs.RUNGS] == pytest.approx([1.0] * 3)
    assert sign["all, 25"] < 0  # all is warm-up by then, where a high loss is a reward


@pytest.mark.parametrize("argument", ["colour=red", "only=all", "budget=0"])
def test_a_mistake_is_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([argument]) == 2
    assert argument.partition("=")[0] in capsys.readouterr().err
