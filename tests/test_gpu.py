"""The trainer on a CUDA device; skipped without one. benchmarks/gpu/run.sh runs these.

Imports torch and the trainer alone, so that a machine without Optuna and Hydra can run them.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.gpu import seeds, smoke_images

SMALL = ["task.epochs=10", "task.width=8", "task.batch_size=50", "task.train_images=400", "task.validation_images=100"]
SMALL += ["task.test_images=200"]
pytestmark = pytest.mark.gpu


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Made-up images, easy to learn."""
    path = tmp_path / "images.npz"
    smoke_images.write(path)
    return str(path)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_card_learns_in_every_precision(images: str, precision: str) -> None:
    """On the CPU all of seeds 0 to 2 reach 100 % in fp32 and bf16, seed 0 in fp16."""
    from flatdirs.training.loop import train

    result = train(seeds.hand_tuned(images, "cuda", [*SMALL, f"precision={precision}"]))
    assert result.device.startswith("cuda")
    assert result.precision == precision
    assert result.accuracy > 95


def test_images_lie_on_the_card(images: str) -> None:
    from flatdirs.training.data import load
    from flatdirs.training.device import resolve_device

    config = seeds.hand_tuned(images, "cuda", SMALL)
    dataset = load(config.task, config.data, resolve_device("cuda"))
    splits = [dataset.train, dataset.test]
    assert {part.device.type for split in splits for part in (split.images, split.labels)} == {"cuda"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])  # fp16 asks the card whether its gradients overflowed
def test_the_host_does_not_wait_inside_an_epoch(images: str, precision: str) -> None:
    import torch

    from flatdirs.training.data import load
    from flatdirs.training.device import resolve_device
    from flatdirs.training.run import Run

    device = resolve_device("cuda")
    config = seeds.hand_tuned(images, "cuda", [*SMALL, f"precision={precision}"])
    run = Run(config, load(config.task, config.data, device), device, precision)
    run.train_epoch()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sums = [run.train_epoch(), *run.evaluate(run.dataset.held_out)]
        with pytest.raises(RuntimeError, match="synchroniz"):
            sums[0].item()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert all(math.isfinite(value.item()) for value in sums)
