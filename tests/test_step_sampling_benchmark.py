"""benchmarks/step_sampling: the rivals' rules on known curves, measuring that resumes, a page from its rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import rows
from benchmarks.step_sampling import __main__ as command
from benchmarks.step_sampling import models, page, rivals, synthetic
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.tuning.start import PEAK_RATIO

CPU, FOLDER = torch.device("cpu"), Path(page.__file__).parent


def fall(middle: float = 1e-3, width: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Rates 1e-7 … 10 and a loss that falls from 2 to 1 around `middle`, by tanh in decades."""
    decades = np.linspace(-7, 1, 100)
    return 10.0**decades, 1.5 - 0.5 * np.tanh((decades - math.log10(middle)) / width)


def test_the_rules_on_known_curves() -> None:
    step = 10 ** (8 / 99) - 1
    assert rivals.steep(*fall()) == pytest.approx(1e-3, rel=step)
    assert rivals.picks_of("lightning", *fall())["lightning"] == pytest.approx(1e-3, rel=step)
    assert float(rivals.picks_of("lightning", *fall(width=1.0))["lightning_by_rate"]) < 3e-4  # too early
    losses = np.concatenate([np.full(20, 5.0), np.linspace(4, 1, 30), np.linspace(6, 9, 50)])
    assert rivals.valley(np.arange(100.0), losses) == 18 + 10 + 5  # 31 points end at 49: 49 − 31 + 10 + 5
    rates, kink = 10.0 ** np.linspace(-6, 0, 61), 0.1 * np.abs(np.arange(61) - 50)
    assert rivals.slide(rates, kink) == rates[35]  # the left foot stays fifteen points behind


def test_fastai_cuts_at_the_first_nan_and_lightning_leaves_it_out() -> None:
    rates, losses = fall()
    broken, hole = np.where(rates > 1e-2, math.nan, losses), losses.copy()
    hole[70] = math.inf
    assert rivals.picks_of("fastai", rates, broken)["fastai_steep"] == rivals.steep(rates, losses)
    assert rivals.picks_of("lightning", rates, hole) == rivals.picks_of("lightning", rates, losses)
    nothing = rivals.picks_of("fastai", rates, np.full(100, math.nan))
    assert all("0 points" in str(pick) for pick in nothing.values())


def bowl(curvature: float = 1.0) -> models.Subject:
    """Two weights whose best logits are finite, as one label of four is the other class."""

    def model(seed: int) -> nn.Module:
        network = nn.Linear(1, 2, bias=False)
        nn.init.constant_(network.weight, 0.1 + seed)
        return network

    batch = (torch.full((4, 1), curvature), torch.tensor([0, 0, 0, 1]))
    ways = (model, torch.optim.SGD, lambda seed: [batch] * 100, [batch])
    return models.Subject("transformer", CPU, 100, 2, "fp32", "a bowl", *ways)


@pytest.mark.parametrize(("finder", "first", "last"), [("fastai", 1e-7, 10**0.92), ("lightning", 1e-8, 1.0)])
def test_a_ramp_takes_a_hundred_steps_and_leaves_the_random_state(finder: str, first: float, last: float) -> None:
    before = torch.get_rng_state()
    rates, losses, picks = rivals.FINDERS[finder](bowl(), 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert (len(losses), rates[0], rates[-1]) == (100, pytest.approx(first), pytest.approx(last))
    assert set(picks) == set(rivals.RULES[finder])
    assert len(rivals.FINDERS["fastai"](bowl(1000.0), 0)[1]) < 100  # blows up


@pytest.mark.filterwarnings("default")
def test_torch_lr_finder_gives_its_own_suggestion() -> None:
    pytest.importorskip("torch_lr_finder")
    rates, losses, picks = rivals.torch_lr_finder(bowl(), 0)
    assert picks["torch_lr_finder"] == rates[10:-5][np.gradient(losses[10:-5]).argmin()]


@pytest.mark.slow
def test_the_command_measures_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cheap model, two of the finders, a grid of three rates."""
    left = [4]

    def trainer(rate: float, schedule: str, seed: int) -> models.Run:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return 50 + seed - abs(math.log2(rate) + 5), 1.0, False, 100, 0.1

    monkeypatch.setattr(command, "subject", lambda name, *_: replace(bowl(), name=name, trainer=trainer))
    monkeypatch.setattr(command, "POWERS", {"transformer": range(-6, -3)})
    monkeypatch.setattr(rivals, "FINDERS", {name: rivals.FINDERS[name] for name in ("fastai", "lightning")})
    arguments = ["models=transformer", "seeds=2", "only=grid,finder,rivals,picks,longer"]
    with pytest.raises(KeyboardInterrupt):
        command.main(tmp_path, arguments)
    assert len(rows.read(tmp_path / "runs.csv")) == 4
    left[0] = 1000
    command.main(tmp_path, arguments)
    known = {path.name: path.read_text() for path in tmp_path.glob("*.csv")}
    assert set(known) == {f"{name}.csv" for name in ("runs", "costs", "probes", "picks", "rivals", "rivals_curves")}
    runs = rows.read(tmp_path / "runs.csv")
    assert len({tuple(row[key] for key in ("model", "schedule", "rate", "seed")) for row in runs}) == len(runs)
    assert sum(row["model"] == "transformer_long" for row in runs) in (5, 6)  # without or with a pick
    left[0] = 0
    command.main(tmp_path, arguments)
    assert known == {path.name: path.read_text() for path in tmp_path.glob("*.csv")}


def test_the_first_runs_of_a_seed_span_every_range() -> None:
    first = command.cells(page.MODELS, (0, 1))[: 7 * 3 * 2]
    for model in page.MODELS:
        for schedule in models.SCHEDULES:
            powers = sorted(math.log2(rate) for name, kind, rate, _ in first if (name, kind) == (model, schedule))
            assert powers == list(command.POWERS[model])[::2]


@pytest.mark.slow
def test_a_transformer_run_is_a_function_of_its_seed_and_sees_no_character_ahead() -> None:
    subject = models.transformer("transformer", CPU, 3)
    before = torch.get_rng_state()
    losses = [subject.train_fully(0.01, "constant", seed)[1] for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1] != losses[2]
    accuracy, _, diverged, *_ = subject.train_fully(1e30, "constant", 0)
    assert (diverged, accuracy) == (True, 100 / subject.classes)
    model, inputs = subject.model(0).eval(), next(iter(subject.batches(0)))[0][:1]
    changed = inputs.clone()
    changed[0, 20] = (changed[0, 20] + 1) % subject.classes
    with torch.no_grad():
        difference = (model(inputs) - model(changed)).abs().amax(dim=2)[0]
    assert difference[:20].max() == 0 < difference[20:].min()


@pytest.mark.slow
def test_our_loop_trains_as_the_trainer_does() -> None:
    sizes = {"train_images": 640, "validation_images": 320, "test_images": 320}
    task = ImageTask("digits", "digits", epochs=2, batch_size=32, width=4, image_size=8, pad=1, cutout=2, **sizes)
    subject = models.images(task, DataConfig(), CPU)
    own, plain = (one.train_fully(0.05, "triangle", 3) for one in (subject, replace(subject, trainer=None)))
    assert own[2:4] == plain[2:4] == (False, 40)
    assert own[:2] == pytest.approx(plain[:2], rel=1e-3)


def test_points_below_the_best_are_paired_by_seed_and_read_between_rates() -> None:
    rates = [(2.0**power, seed, 60 + 2 * seed - power**2) for power in (-2, -1, 0, 1) for seed in (0, 1)]
    more = [(1.0, 2, 0.0), (0.7, 0, 59.5), (0.7, 1, 60.5)]
    runs = pd.DataFrame([*rates, *more], columns=["rate", "seed", "accuracy"])
    runs = runs.assign(model="resnet18", schedule="constant")
    known, best = page.grid(runs, "resnet18")
    assert (best, list(known.columns)) == (1.0, [0, 1])  # seed 2 is not complete
    assert list(page.lost(runs, "resnet18", 0.7)) == [0.5, 1.5]
    assert page.read_off(known, math.sqrt(0.5)) == "0.5"
    assert page.read_off(known, 0.2) == "outside"


@pytest.mark.slow
def test_the_ratio_that_a_start_is_multiplied_by_is_the_measured_one() -> None:
    found = page.values(FOLDER)
    (line,) = (line for line in found["peaks"].splitlines() if line.startswith("| resnet_small"))
    assert float(line.split("|")[-2]) == pytest.approx(PEAK_RATIO, rel=0.03)
    assert found["ratio-min"] == f"{PEAK_RATIO:.0f}"


@pytest.mark.parametrize("name", synthetic.SHAPES)
def test_the_finder_finds_the_knee_of_noiseless_curves(name: str) -> None:
    true = synthetic.truth(synthetic.SHAPES[name], 0.0)
    assert true["knee"] < true["midpoint"] < true["minimum"]
    assert abs(float(synthetic.search(synthetic.SHAPES[name], 0.0, 1)["midpoint_off"])) < 0.2
