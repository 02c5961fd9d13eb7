"""benchmarks/step_sampling: the rivals' rules on known curves, a grid that resumes, a page that says what rows say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import pages, rows
from benchmarks.step_sampling import grid, ours, page, rivals, rules, synthetic
from benchmarks.step_sampling.findings import EXPONENTS, Evidence, Grid
from benchmarks.step_sampling.models import ResNetSmall, Transformer
from benchmarks.step_sampling.rules import Curve, NoPick
from benchmarks.step_sampling.subject import Batch, Run, Subject
from flatdirs.training.task import DataConfig, ImageTask
from flatdirs.tuning.start import PEAK_RATIO

CPU = torch.device("cpu")
MODELS = tuple(EXPONENTS)


# --- rules ---------------------------------------------------------------------------------------------------------


def fall(middle: float = 1e-3, width: float = 0.5, points: int = 100) -> Curve:
    """A loss that falls from 2 to 1 around `middle`, by tanh in decades, over 1e-7 … 10; noiseless."""
    decades = np.linspace(-7, 1, points)
    return Curve(10.0**decades, 1.5 - 0.5 * np.tanh((decades - math.log10(middle)) / width))


def test_steepest_rules_find_the_middle_of_a_fall() -> None:
    step = 10 ** (8 / 99)
    assert rules.steepest_step(fall(1e-3)) == pytest.approx(1e-3, rel=step - 1)
    assert rules.steep(fall(1e-3)) == pytest.approx(1e-3, rel=step - 1)
    assert rules.steepest_by_rate(fall(1e-3, width=1.0)) < 3e-4  # by rate itself: too early on a logarithmic axis


def test_valley_lies_half_way_down_the_longest_fall() -> None:
    losses = np.concatenate([np.full(20, 5.0), np.linspace(4, 1, 30), np.linspace(6, 9, 50)])
    rates = np.arange(100.0)
    assert rules.valley(Curve(rates, losses)) == 18 + 10 + 5  # 31 points end at 49: 49 − 31 + 10 + 5
    assert rules.valley(Curve(rates, np.arange(100.0))) == 0.0


def test_minimum_and_slide_on_straight_lines() -> None:
    rates = 10.0 ** np.linspace(-6, 0, 61)

    def kink(point: int) -> Curve:
        """Down by 0.1 a step to this point, then up."""
        return Curve(rates, 0.1 * np.abs(np.arange(61) - point))

    assert rules.minimum_tenth(kink(40)) == pytest.approx(1e-3)
    assert rules.slide(kink(40)) == rates[45]  # the last slope is that of fifteen points before: nothing to slide over
    assert rules.slide(kink(50)) == rates[35]  # the right foot goes down to the kink, the left one stays fifteen behind


def test_fastai_cuts_at_the_first_nan_and_lightning_leaves_it_out() -> None:
    curve = fall(1e-3)
    broken = Curve(curve.rates, np.where(curve.rates > 1e-2, math.nan, curve.losses))
    assert rules.FASTAI["fastai_steep"](broken) == rules.FASTAI["fastai_steep"](curve)
    hole = curve.losses.copy()
    hole[70] = math.inf
    assert rules.LIGHTNING["lightning"](Curve(curve.rates, hole)) == rules.LIGHTNING["lightning"](curve)
    nothing = Curve(curve.rates, np.full(100, math.nan))
    for rule in {**rules.FASTAI, **rules.LIGHTNING}.values():
        with pytest.raises(NoPick, match="0 points"):
            rule(nothing)


# --- ramps ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bowl(Subject):
    """One weight in a bowl of curvature 1 that starts at 1: plain SGD diverges above a rate of 2."""

    name = "resnet_small"
    total_steps = 100
    classes = 10
    precision = "fp32"
    data = "a bowl"

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        return model

    def optimizer(self, parameters: Iterable[nn.Parameter], rate: float = 1e-3) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=rate)

    def batches(self, seed: int) -> list[Batch]:
        return [(torch.ones(1, 1), torch.zeros(1, 1))] * self.total_steps

    def validation(self) -> list[Batch]:
        return self.batches(0)[:1]

    def criterion(self, answer: Tensor, targets: Tensor) -> Tensor:
        return 1 + ((answer - targets) ** 2).mean() / 2


@pytest.mark.parametrize("ramp", [rivals.fastai, rivals.lightning])
def test_a_ramp_takes_a_hundred_steps_and_leaves_the_random_state(ramp: Callable[[Subject, int], rivals.Ramp]) -> None:
    before = torch.get_rng_state()
    found = ramp(Bowl(CPU), 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.steps == len(found.curve.losses) == 100
    assert found.curve.losses[-1] < 1.5
    steepest = found.picks["fastai_steep" if ramp is rivals.fastai else "lightning"]
    assert isinstance(steepest, float)
    assert 0.03 < steepest < 3


def test_rates_of_the_ramps_are_the_libraries() -> None:
    fastai, lightning = (ramp(Bowl(CPU), 0).curve.rates for ramp in (rivals.fastai, rivals.lightning))
    assert (fastai[0], fastai[-1]) == (pytest.approx(1e-7), pytest.approx(10 ** (-7 + 8 * 0.99)))
    assert (lightning[0], lightning[1], lightning[-1]) == pytest.approx((1e-8, 10**-7.84, 1.0))


def test_a_ramp_that_blows_up_ends_early() -> None:
    @dataclass(frozen=True)
    class Steep(Bowl):
        def criterion(self, answer: Tensor, targets: Tensor) -> Tensor:
            return 1 + 1000 * ((answer - targets) ** 2).mean() / 2

    found = rivals.fastai(Steep(CPU), 0)
    assert found.steps < 100
    assert found.curve.losses[-1] > 4 * found.curve.losses.min()


@pytest.mark.filterwarnings("default")
def test_torch_lr_finder_gives_its_own_suggestion() -> None:
    pytest.importorskip("torch_lr_finder")
    found = rivals.torch_lr_finder(Bowl(CPU), 0)
    assert found.curve.rates[0] == pytest.approx(1e-7)
    assert found.steps == len(found.curve.losses) <= 100
    drops = np.gradient(found.curve.losses[10:-5])
    assert found.picks["torch_lr_finder"] == found.curve.rates[10:-5][drops.argmin()]


def test_ramps_on_file_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def ramp(subject: Subject, seed: int) -> rivals.Ramp:
        calls.append(seed)
        picks = {"fastai_valley": 0.5, "fastai_steep": NoPick("only 1 points are left to judge")}
        return rivals.Ramp(Curve(np.array([0.1, 1.0]), np.array([2.0, 1.0])), 2, picks)

    monkeypatch.setattr(rivals, "FINDERS", {"fastai": ramp})
    for seeds in ((0,), (0, 1)):
        rivals.measure(tmp_path, [Bowl(CPU)], seeds)
    assert calls == [0, 1]
    picks = Evidence(tmp_path).picks("resnet_small")
    assert picks["fastai_valley"].rates == {0: 0.5, 1: 0.5}
    assert picks["fastai_steep"].rates == {0: None, 1: None}
    assert picks["fastai_steep"].notes == ("only 1 points are left to judge",)
    assert Evidence(tmp_path).curve("rivals_curves.csv", "resnet_small", "fastai", 1) == ([0.1, 1.0], [2.0, 1.0])


# --- the grid ------------------------------------------------------------------------------------------------------


@dataclass
class Stub:
    """A subject whose complete runs are a formula; `left` counts down to a kill."""

    name: str = "resnet_small"
    left: int = 10**6
    trained: list[tuple[float, str, int]] = field(default_factory=list)
    device: torch.device = CPU
    precision: str = "fp32"
    data: str = "no data"

    def train_fully(self, rate: float, schedule: str, seed: int) -> Run:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.trained.append((rate, schedule, seed))
        return Run(50 + seed - abs(math.log2(rate) + 5), 1.0, False, 100, 0.1)


def test_a_killed_grid_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    wanted = grid.cells(["resnet_small"], (0, 1))
    assert len({cell.key for cell in wanted}) == len(wanted) == 52
    stub = Stub(left=7)
    with pytest.raises(KeyboardInterrupt):
        grid.measure(tmp_path / "runs.csv", [stub], wanted)  # type: ignore[list-item]
    assert len(rows.read(tmp_path / "runs.csv")) == 7
    stub.left = 10**6
    for worker in (0, 1):
        grid.measure(tmp_path / "runs.csv", [stub], wanted[worker::2])  # type: ignore[list-item]
    assert len(stub.trained) == len(set(stub.trained)) == 52
    assert len(rows.read(tmp_path / "runs.csv")) == 52


def test_the_first_runs_of_a_seed_span_every_range() -> None:
    first = grid.cells(MODELS, (0, 1))[: 7 * 3 * 2]
    for model in MODELS:
        for schedule in ("constant", "triangle"):
            powers = sorted(math.log2(cell.rate) for cell in first if (cell.model, cell.schedule) == (model, schedule))
            assert (powers[0], powers[-1]) == EXPONENTS[model]
            assert np.diff(powers).tolist() == [2.0] * 6
    assert {cell.seed for cell in first} == {0}


def test_a_best_rate_at_an_end_widens_the_range(tmp_path: Path) -> None:
    write_runs(tmp_path, {model: lambda power: power for model in MODELS}, seeds=(0,))
    beyond = grid.cells_beyond(tmp_path, ["resnet18"], (0,))
    assert {(cell.schedule, cell.rate) for cell in beyond} == {
        (schedule, rate) for schedule in ("constant", "triangle") for rate in (4.0, 8.0)
    }
    assert grid.cells_beyond(tmp_path, ["resnet18"], (0, 1)) == []  # seed 1 is still to come
    write_runs(tmp_path, {model: lambda power: -abs(power + 7) for model in MODELS}, seeds=(0,))
    assert grid.cells_beyond(tmp_path, MODELS, (0,)) == []


def test_complete_runs_at_picks_are_each_wanted_once(tmp_path: Path) -> None:
    fields = {"model": "resnet18", "steps": "100", "note": ""}
    picked = [("fastai_valley", 0, "0.3"), ("fastai_steep", 0, "0.3"), ("lightning", 0, ""), ("lightning", 1, "0.7")]
    found = [{**fields, "rule": rule, "seed": str(seed), "rate": rate} for rule, seed, rate in picked]
    rows.write(tmp_path / "rivals.csv", list(found[0]), found)
    own = {"model": "resnet18", "seed": "0", "rule": "log_midpoint", "rate": "0.2", "low": "0.1", "high": "0.4"}
    rows.write(tmp_path / "picks.csv", list(own), [own])
    wanted = grid.cells_at_picks(tmp_path, MODELS, range(3))
    assert {cell.model for cell in wanted} == {"resnet18"}
    assert [(cell.rate, cell.seed) for cell in wanted] == [(0.2, 0), (0.2, 1), (0.2, 2), (0.3, 0), (0.3, 1)]


# --- subjects ------------------------------------------------------------------------------------------------------


class Brief(Transformer):
    """Three steps of the transformer."""

    total_steps = 3


@pytest.mark.slow
def test_a_transformer_run_is_a_function_of_its_seed_and_leaves_the_random_state() -> None:
    subject = Brief(CPU)
    before = torch.get_rng_state()
    runs = [subject.train_fully(0.01, "constant", seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert runs[0].loss == runs[1].loss != runs[2].loss
    assert runs[0].steps == 3
    first, again = (list(subject.batches(0)) for _ in range(2))
    assert len(first) == 3
    assert all(
        torch.equal(one, other) for pair in zip(first, again, strict=True) for one, other in zip(*pair, strict=True)
    )
    inputs, targets = first[0]
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_the_transformer_sees_no_character_ahead() -> None:
    subject = Brief(CPU)
    model = subject.model(0).eval()
    inputs = next(iter(subject.batches(0)))[0][:1]
    changed = inputs.clone()
    changed[0, 20] = (changed[0, 20] + 1) % subject.classes
    with torch.no_grad():
        difference = (model(inputs) - model(changed)).abs().amax(dim=2)[0]
    assert difference[:20].max() == 0
    assert difference[20:].min() > 0


def test_a_run_that_blows_up_counts_as_chance() -> None:
    run = Brief(CPU).train_fully(1e30, "constant", 0)
    assert run.diverged
    assert run.accuracy == pytest.approx(100 / 103, rel=0.2)


def small_digits() -> ResNetSmall:
    """Our network on little data."""
    sizes = {"train_images": 640, "validation_images": 320, "test_images": 320}
    task = ImageTask("digits", "digits", epochs=2, batch_size=32, width=4, image_size=8, pad=1, cutout=2, **sizes)
    return ResNetSmall(CPU, DataConfig(), task)


@pytest.mark.slow
def test_a_subject_trains_as_the_trainer_does() -> None:
    subject = small_digits()
    own, generic = subject.train_fully(0.05, "triangle", 3), Subject.train_fully(subject, 0.05, "triangle", 3)
    assert (own.steps, own.diverged) == (generic.steps, generic.diverged) == (40, False)
    assert generic.accuracy == pytest.approx(own.accuracy)
    assert generic.loss == pytest.approx(own.loss, rel=1e-3)


# --- findings and the page -----------------------------------------------------------------------------------------


def write_runs(folder: Path, accuracy: dict[str, Callable[[float], float]], seeds: tuple[int, ...] = (0, 1)) -> None:
    """A whole grid by formula: accuracy of each model by its rate's power of two, a tenth of a point more per seed."""
    subject = SimpleNamespace(device=CPU, precision="fp32", data="no data")
    found = [
        grid.row(cell, Run(accuracy[cell.model](math.log2(cell.rate)) + cell.seed / 10, 1.0, False, 500, 1.0), subject)  # type: ignore[arg-type]
        for cell in grid.cells(MODELS, seeds)
    ]
    rows.write(folder / "runs.csv", list(found[0]), found)


def write_picks(folder: Path, rule: str, rates: list[float]) -> None:
    """One rule of step sampling on all models, a rate a seed."""
    found = [
        {
            "model": model,
            "seed": seed,
            "rule": rule,
            "rate": rate,
            "low": rate / 2,
            "high": 2 * rate,
            "steps_equivalent": 280,
        }
        for model in MODELS
        for seed, rate in enumerate(rates)
    ]
    rows.write(folder / "picks.csv", list(found[0]), found)


def test_a_grid_knows_its_best_and_reads_between_rates() -> None:
    runs = {2.0**power: {0: 60 - power**2, 1: 62 - power**2, 2: 0.0} for power in (-2, -1, 0, 1)}
    del runs[2.0**-2][2]  # seed 2 is not complete
    runs[0.7] = {0: 59.5, 1: 60.5}
    found = Grid(runs, (0.25, 0.5, 1.0, 2.0))
    assert (found.best, found.seeds, found.best_at_an_end) == (1.0, [0, 1], False)
    assert found.at(1.0).mean == 61
    assert found.at(1.0).error == pytest.approx(1.0)
    lost = found.lost(0.7)
    assert lost is not None
    assert (lost.mean, lost.error, lost.count) == (1.0, pytest.approx(0.5), 2)
    assert found.read_off(math.sqrt(0.5)) == pytest.approx(0.5)
    assert found.read_off(0.25) == pytest.approx(4.0)
    assert found.read_off(0.2) is None
    assert found.lost(0.3) is None


def test_the_page_says_what_is_not_measured(tmp_path: Path) -> None:
    drawn = page.results(tmp_path)
    assert list(drawn) == ["README.md"]
    assert str(drawn["README.md"]).count("Not measured yet.") == 4
    assert "not measured yet" in page.readme_blocks(tmp_path)["step-sampling"]


@pytest.mark.slow
def test_the_page_says_what_the_rows_say(tmp_path: Path) -> None:
    write_runs(tmp_path, {model: lambda power: 50 - 2 * abs(power + 6) for model in MODELS})
    write_picks(tmp_path, "log_midpoint", [2.0**-6.25, 2.0**-9])
    drawn = page.results(tmp_path)
    text = str(drawn["README.md"])
    assert sorted(drawn) == ["README.md", *sorted(f"{model}.png" for model in MODELS)]
    assert "- constant: best at 0.0156 (2^-6), 50.05 ± 0.05 % over 2 seeds" in text
    assert "log_midpoint loses ≈ 0.5 points (bar: 1)" in text
    assert text.count("**held**") == 3
    assert "| **log_midpoint** | 0.0131, 0.00195 | -0.08, -0.90 | ≈ 0.5 | 0.5, 6.0 | 280 (56%) |" in text
    middle = 2 ** ((-6.25 - 9) / 2)
    assert f"| geometric mean | | | | 1 | {2.0**-6 / middle:.3g} |" in text
    write_picks(tmp_path, "log_midpoint", [2.0**-8])
    assert str(page.results(tmp_path)["README.md"]).count("**missed**. log_midpoint loses 4.00 ± 0.00 points") == 3


@pytest.mark.slow
def test_an_unfinished_grid_is_drawn_and_judges_nothing(tmp_path: Path) -> None:
    write_runs(tmp_path, {model: lambda power: 50 - abs(power + 6) for model in MODELS}, seeds=(0,))
    found = rows.read(tmp_path / "runs.csv")
    rows.write(tmp_path / "runs.csv", list(found[0]), found[:20])
    write_picks(tmp_path, "log_midpoint", [2.0**-6])
    pages.write("step_sampling", tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "not measured to the end" in text
    assert "held" not in text
    assert (tmp_path / "resnet18.png").read_bytes().startswith(b"\x89PNG")


# --- our own finder, and curves with a known knee --------------------------------------------------------------------


@pytest.mark.slow
def test_a_search_is_written_down_once_with_picks_probes_and_cost(tmp_path: Path) -> None:
    subject = small_digits()
    ours.measure(tmp_path, [subject], (0,))
    files = {name: (tmp_path / f"{name}.csv").read_text() for name in ("picks", "probes", "costs")}
    found = {row["rule"]: float(row["rate"]) for row in rows.read(tmp_path / "picks.csv")}
    assert found["min_lr"] < found["log_midpoint"] < found["max_lr"]
    short = [row for row in rows.read(tmp_path / "costs.csv") if row["budget"] == "14"]
    assert [row["probes"] for row in short] == ["14"]
    assert float(short[0]["cost"]) == pytest.approx(14 * 20 + 15 * 10 / 3, abs=25)  # a diverged probe ends early
    ours.measure(tmp_path, [subject], (0,))
    assert files == {name: (tmp_path / f"{name}.csv").read_text() for name in files}


@pytest.mark.parametrize("name", synthetic.SHAPES)
def test_the_curves_fall_from_a_plateau_to_one_minimum(name: str) -> None:
    true = synthetic.truth(synthetic.SHAPES[name], 0.0)
    x = np.arange(-6.0, 1.0, 0.01)
    y = synthetic.SHAPES[name](x, 0.0)
    lowest = int(np.argmin(y))
    assert (np.diff(y[: lowest + 1]) <= 1e-9).all()
    assert (np.diff(y[lowest:]) >= -1e-9).all()
    assert y[0] == pytest.approx(true.initial_loss, abs=0.01)
    assert true.knee < true.midpoint < true.minimum == pytest.approx(x[lowest], abs=0.02)


def test_the_truth_moves_with_the_curve() -> None:
    for shape in synthetic.SHAPES.values():
        here, there = (synthetic.truth(shape, center) for center in (-1.0, 0.5))
        assert there.midpoint - here.midpoint == pytest.approx(1.5, abs=0.011)


@pytest.mark.slow
def test_noise_takes_the_midpoint_away_and_its_absence_does_not() -> None:
    off = {
        noise: [float(synthetic.search(synthetic.hinge, noise, seed)["midpoint_off"]) for seed in (1, 2, 3)]
        for noise in (0.0, 0.1)
    }
    assert max(map(abs, off[0.0])) < 0.1
    assert max(map(abs, off[0.1])) > max(map(abs, off[0.0]))


def test_the_ratio_that_a_start_is_multiplied_by_is_the_measured_one() -> None:
    text = (Path(page.__file__).parent / "README.md").read_text(encoding="utf-8")
    table = text.partition("## From a constant rate")[2].partition("\n## ")[0]
    (line,) = (line for line in table.splitlines() if line.startswith("| resnet_small"))
    assert float(line.split("|")[-2]) == pytest.approx(PEAK_RATIO, rel=0.03)
