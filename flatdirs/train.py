"""`python -m flatdirs.train`: train once with the tuner's own trainer and print the curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatdirs import command_line
from flatdirs.errors import ConfigError

if TYPE_CHECKING:
    from flatdirs.training.loop import Epoch, TrainConfig


def run(settings: dict[str, Any]) -> int:
    """One training run, printed epoch by epoch."""
    from flatdirs.training.loop import expected_seconds, train

    config = read_train(settings)
    save = settings["save"]
    if save is not None:
        _check_save(Path(str(save)))
    print(f"task {config.task.name}: about {expected_seconds(config):.0f} s expected here", flush=True)
    print("epoch  learning rate  train loss  loss    accuracy  seconds", flush=True)
    result = train(config, on_epoch=_print_epoch, keep_model=save is not None)
    verdict = "diverged" if result.diverged else f"accuracy {result.accuracy:.2f}%, loss {result.loss:.4f}"
    print(f"{verdict} after {result.steps} steps in {result.seconds:.1f} s on {result.device} ({result.precision})")
    if save is not None and result.model is not None:
        import torch

        torch.save(result.model.state_dict(), save)
        print(f"weights saved in {save}")
    return 0


def read_train(settings: Mapping[str, Any]) -> TrainConfig:
    """A training configuration from plain settings. Raises ConfigError naming the key."""
    from flatdirs.config import read_dataclass, read_task, read_value
    from flatdirs.training.loop import TrainConfig
    from flatdirs.training.task import DataConfig, ImageTask

    task = read_task(settings["task"])
    if not isinstance(task, ImageTask):
        raise ConfigError("task=callable is trained by your own function; choose an image task for flatdirs.train")
    data = read_dataclass(DataConfig, settings["data"], "data.")
    plain = {key: settings[key] for key in ("learning_rate", "momentum", "weight_decay", "seed", "batch_size")}
    plain |= {key: settings[key] for key in ("device", "precision", "threads")}
    hints: dict[str, Any] = {
        "learning_rate": float,
        "momentum": float,
        "weight_decay": float,
        "seed": int,
        "batch_size": int | None,
    }
    hints |= {"device": str, "precision": str, "threads": int | None}
    return TrainConfig(
        task=task, data=data, **{key: read_value(hints[key], value, key) for key, value in plain.items()}
    )


def _check_save(path: Path) -> None:
    """Raise ConfigError now rather than after an hour of training."""
    if not path.parent.is_dir():
        raise ConfigError(f"save={path}: there is no folder {path.parent}; make it or change save")
    if path.is_dir():
        raise ConfigError(f"save={path} is a folder; change save to a file such as model.pt")


def _print_epoch(epoch: Epoch) -> None:
    print(
        f"{epoch.number:>5}  {epoch.learning_rate:<13.4g}  {epoch.train_loss:<10.4f}  {epoch.loss:<6.4f}  "
        f"{epoch.accuracy:>7.2f}%  {epoch.seconds:.1f}",
        flush=True,
    )


def main() -> None:
    """The console script."""
    command_line.main("train", run)


if __name__ == "__main__":
    main()
