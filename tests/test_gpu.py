"""The trainer and the curvature on a CUDA device; skipped without one. benchmarks/gpu/run.sh runs these.

Only torch and the trainer are imported, so that a machine without Optuna and Hydra can run them.
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
    """Synthetic images, easy to learn."""
    path = tmp_path / "images.npz"
    smoke_images.write(path)
    return str(path)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_training_in_every_precision(images: str, precision: str) -> None:
    """On the CPU all of seeds 0 to 2 reach 100 % in fp32 and bf16, seed 0 in fp16."""
    from flatdirs.training.loop import train

    result = train(seeds.hand_tuned(images, "cuda", [*SMALL, f"precision={precision}"]))
    assert result.device.startswith("cuda")
    assert result.precision == precision
    assert result.accuracy > 95


def test_images_are_on_the_gpu(images: str) -> None:
    from flatdirs.training.data import load
    from flatdirs.training.device import resolve_device

    config = seeds.hand_tuned(images, "cuda", SMALL)
    dataset = load(config.task, config.data, resolve_device("cuda"))
    splits = [dataset.train, dataset.test]
    assert {part.device.type for split in splits for part in (split.images, split.labels)} == {"cuda"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])  # fp16 asks the device whether gradients overflowed
def test_the_host_does_not_wait_inside_an_epoch(images: str, precision: str) -> None:
    import torch

    from flatdirs.training.data import load
    from flatdirs.training.device import resolve_device
    from flatdirs.training.training_step import Run

    device = resolve_device("cuda")
    config = seeds.hand_tuned(images, "cuda", [*SMALL, f"precision={precision}"])
    run = Run(config, load(config.task, config.data, device), device, precision)
    run.train_steps(run.config.steps_per_epoch)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sums = [run.train_steps(run.config.steps_per_epoch), *run.evaluate(run.dataset.evaluation_set)]
        with pytest.raises(RuntimeError, match="synchroniz"):
            sums[0].item()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert all(math.isfinite(value.item()) for value in sums)


def test_curvature_is_measured_on_the_gpu() -> None:
    """The sharpness is that of the CPU, in float64; the log works with a fused optimizer."""
    pytest.importorskip("scipy", reason="sharpness is looked for by SciPy's ARPACK")
    import torch
    from torch import nn

    from flatdirs.curvature.log import CurvatureLog
    from flatdirs.curvature.sharpness import sharpness

    torch.manual_seed(1)
    loss = nn.functional.cross_entropy
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(36, 3)).double()
    batch = torch.randn(24, 1, 8, 8, dtype=torch.float64), torch.randint(3, (24,))
    expected = sharpness(model, loss, batch).value
    model.cuda()
    found = sharpness(model, loss, batch)
    assert found.vector.is_cuda
    assert found.value == pytest.approx(expected, rel=1e-6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    log = CurvatureLog(model, optimizer, loss, batch)
    for _ in range(3):
        optimizer.zero_grad()
        loss(model(batch[0].cuda()), batch[1].cuda()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert all(0 < record.ratio < math.inf and 0 < abs(record.alignment) <= 1 for record in log.records)


def test_the_trainer_logs_curvature_on_the_gpu(images: str) -> None:
    pytest.importorskip("scipy", reason="sharpness is looked for by SciPy's ARPACK")
    from dataclasses import replace

    from flatdirs.training.loop import train
    from flatdirs.training.run_config import CurvatureConfig

    config = replace(seeds.hand_tuned(images, "cuda", [*SMALL, "precision=bf16"]), curvature=CurvatureConfig(20, 100))
    records = train(config).curvature
    assert [record.step for record in records] == [20, 40, 60, 80, 100]
    assert all(record.residual < 0.01 and 0 < record.ratio < math.inf for record in records)
