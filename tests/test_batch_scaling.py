"""The batch scaling benchmark: what it measures has known answers, and its page is what its raw files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.batch_scaling import distance, figures, findings, page, warmup
from benchmarks.batch_scaling.raw import HERE, Table, shown
from flatdirs.training import loop
from flatdirs.training.data import Split
from flatdirs.training.records import TrainConfig
from flatdirs.training.task import DataConfig
from tests.test_training_parts import image_task


def linear_problem() -> tuple[nn.Module, Split]:
    """A linear classifier without bias, in float64, and 12 random images of four numbers."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    nn.init.normal_(model.weight, generator=generator)
    images = torch.randn(12, 4, dtype=torch.float64, generator=generator)
    return model, Split(images, torch.randint(3, (12,), generator=generator))


def test_the_page_is_what_the_raw_files_say() -> None:
    assert page.draw() == (HERE / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_figure_stands_on_the_page_and_is_small() -> None:
    drawn = figures.pictures()
    assert set(drawn) == {path.name for path in HERE.glob("*.png")}
    assert all(f"({name})" in page.draw() for name in drawn)
    assert all(0 < len(picture) <= 150_000 for picture in drawn.values())


def test_one_small_step_is_one_large_step_of_one() -> None:
    model, split = linear_problem()
    before = model.weight.detach().clone()
    same, others, large, small = distance.walk(model, split, 1, 0.5, seed=3)
    assert same == 0.0
    assert large == small > 0
    assert others > 0
    assert torch.equal(model.weight, before)


def test_two_small_steps_and_a_large_one_by_hand() -> None:
    model, split = linear_problem()
    weight, rate = model.weight.detach(), 0.3
    first, second = torch.randint(len(split), (2, 2), generator=torch.Generator().manual_seed(7))[0].tolist()

    def slope(at: torch.Tensor, image: int) -> torch.Tensor:
        excess = (split.images[image] @ at.T).softmax(dim=0) - nn.functional.one_hot(split.labels[image], 3)
        return torch.outer(excess, split.images[image])

    middle = weight - rate / 2 * slope(weight, first)
    small = middle - rate / 2 * slope(middle, second)
    large = weight - rate * (slope(weight, first) + slope(weight, second)) / 2
    same, _, way, path = distance.walk(model, split, 2, rate, seed=7)
    assert same == pytest.approx(float((small - large).norm()), rel=1e-12)
    assert way == pytest.approx(float((large - weight).norm()), rel=1e-12)
    assert path == pytest.approx(float((small - weight).norm()), rel=1e-12)


def test_local_facts_are_those_of_the_whole_hessian_and_all_gradients() -> None:
    model, split = linear_problem()
    *_, norm, sigma, sharpness = distance.describe(model, split)
    flat = model.weight.detach().reshape(-1)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return cross_entropy(split.images @ weights.view(3, 4).T, split.labels)

    curvature = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
    assert sharpness == pytest.approx(float(curvature.abs().max()), rel=0.02)
    each = torch.stack([distance.gradient(model, split, torch.tensor([image])) for image in range(len(split))])
    assert norm == pytest.approx(float(each.mean(dim=0).norm()), rel=1e-12)
    assert sigma == pytest.approx(float((each - each.mean(dim=0)).square().sum(dim=1).mean().sqrt()), rel=1e-12)


def test_the_bound_at_a_point_that_can_be_done_in_the_head() -> None:
    state = findings.State(loss=0, accuracy=0, gradient_norm=3, sigma=2, sharpness=5)
    assert state.bound(4, 0.4) == pytest.approx(2 * 2 * 0.1 * 2 + 0.01 * 5 * 16 * 3 + 4 * 0.01 * 5 * 2 * 8)


def test_frozen_statistics_make_the_images_standard_and_the_loss_a_mean_over_examples() -> None:
    model, split = distance.network_after(image_task(width=2, train_images=300), DataConfig(), seed=0, epochs=0)
    with torch.no_grad():
        whole = model(split.images)
        one = model(split.images[5:6])
        first = model.features[0].norm(model.features[0].convolution(split.images))
    assert torch.allclose(whole[5], one[0], atol=1e-12)
    assert torch.allclose(first.mean(dim=(0, 2, 3)), torch.zeros(2, dtype=torch.float64), atol=1e-9)


def test_the_two_sides_differ_in_the_rise_alone() -> None:
    task = image_task(epochs=6)
    warm, cold = (warmup.run(task, DataConfig(), 4, side, 0.01, 0) for side in (True, False))
    assert warm.steps == cold.steps == 30
    assert warm.epochs[0].lr < 0.01 * 0.8 < cold.epochs[0].lr
    assert loop.DIVERGED_LOSS < 10  # the trainer's own rule is back


def test_a_run_that_the_trainer_would_give_up_goes_on() -> None:
    setting = (image_task(epochs=6), DataConfig(), 12.0, 0.9, 5e-4)
    config = TrainConfig(*setting, precision="fp32", threads=1, schedule=warmup.schedule(False))
    assert len(loop.train(config).epochs) < 6
    with warmup.losses_of_any_size():
        assert len(loop.train(config).epochs) == 6


def test_rows_on_file_are_known_and_a_torn_one_is_dropped(tmp_path: Path) -> None:
    table = Table("rows", ("task", "rate"), ("value",), tmp_path)
    assert table.done() == set()
    table.append([("digits", 0.25, 1 / 3)])
    with table.path.open("a", encoding="utf-8") as file:
        file.write("digits,0.5")
    assert table.done() == {("digits", shown(0.25))}
    table.append([("digits", 0.5, 2.0)])
    assert [row["value"] for row in table.read()] == ["0.333333", "2"]
