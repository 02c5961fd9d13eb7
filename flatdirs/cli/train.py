"""`flatdirs train`: train once with flatdirs' own trainer and print the curve."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flatdirs.cli import run_command

if TYPE_CHECKING:
    from flatdirs.training.run_config import Epoch, TrainResult


def run(settings: dict[str, Any], _: list[str]) -> int:
    """One training run, printed epoch by epoch."""
    from flatdirs.config.curvature import read_curvature_files
    from flatdirs.config.tune import read_train
    from flatdirs.config.values import check_writable
    from flatdirs.training.loop import expected_seconds, train

    config = read_train(settings)
    files = read_curvature_files(settings, config)
    save = settings["save"]
    if save is not None:
        check_writable(Path(str(save)), "save", "model.pt")
    print(f"task {config.task.name}: about {expected_seconds(config):.0f} s expected here", flush=True)
    first = "epoch" if config.evaluate_every is None else " eval"
    print(f"{first}  learning rate  train loss  loss    accuracy  seconds", flush=True)
    result = train(config, on_epoch=_print_epoch, keep_model=save is not None)
    verdict = "diverged" if result.diverged else f"accuracy {result.accuracy:.2f}%, loss {result.loss:.4f}"
    if result.returned_epoch < len(result.epochs):
        verdict += f" at the end of {first.strip()} {result.returned_epoch}, the last that ends a phase,"
    print(f"{verdict} after {result.steps} steps in {result.seconds:.1f} s on {result.device} ({result.precision})")
    if result.found_rate is not None:
        print(f"lr found by {config.optimizer.name}, which optimizer=adamw may take: {result.found_rate:.3g}")
    if config.compile:
        print(f"compiled in {result.compile_seconds:.1f} s, which are not in the time above")
    if result.curvature:
        _tell_curvature(result, files)
    if save is not None and result.model is not None:
        import torch

        from flatdirs.training.lora import merged_state

        torch.save(merged_state(result.model), save)
        print(f"weights saved in {save}")
    return 0


def _tell_curvature(result: TrainResult, files: Mapping[str, Path]) -> None:
    """Print a few of the records, keep them all, and draw them."""
    from flatdirs.curvature.figure import curvature_figure
    from flatdirs.curvature.log_record import shown, write_csv

    print("\n".join(shown(result.curvature)))
    if "save" in files:
        write_csv(result.curvature, files["save"])
        print(f"curvature saved in {files['save']}")
    if "figure" in files:
        ends = list(accumulate(epoch.steps for epoch in result.epochs))
        middles = (end - epoch.steps / 2 for end, epoch in zip(ends, result.epochs, strict=True))
        losses = [(middle, epoch.train_loss) for middle, epoch in zip(middles, result.epochs, strict=True)]
        name = "training, the mean between evaluations"
        curvature_figure(result.curvature, losses, name).savefig(files["figure"], dpi=110)
        print(f"curvature drawn in {files['figure']}")


def _print_epoch(epoch: Epoch) -> None:
    print(
        f"{epoch.number:>5}  {epoch.lr:<13.4g}  {epoch.train_loss:<10.4f}  {epoch.loss:<6.4f}  "
        f"{epoch.accuracy:>7.2f}%  {epoch.seconds:.1f}",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("train", run, arguments)
