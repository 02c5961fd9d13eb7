"""The hand-tuned setting on CIFAR-10 (24 epochs), judged on the test images: lr 0.4, momentum 0.9, wd 5e-4.

It reaches 94 % in https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/ and is the bar for every search. This module
needs torch, numpy and PyYAML alone, so that it runs on a machine with a GPU and little else.
"""

from __future__ import annotations

import datetime
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_type_hints

import torch
import yaml

from benchmarks import rows
from benchmarks.gpu import GROUP
from flatdirs.config.values import read_dataclass, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.provenance import provenance
from flatdirs.resources import conf_folder
from flatdirs.space.names import canonical
from flatdirs.training.data import load
from flatdirs.training.device import device_name, resolve_device, resolve_precision
from flatdirs.training.loop import TrainConfig, expected_seconds, train
from flatdirs.training.run_config import Epoch
from flatdirs.training.task import DataConfig, ImageTask

HAND_TUNED = {"lr": 0.4, "momentum": 0.9, "wd": 5e-4}
JPEG_CHECKSUMS = {"1b9326d1"}  # data sets known to be JPEG copies
MAY_CHANGE = (*HAND_TUNED, "batch_size", "precision", "threads", "compile")
MARGIN = 1.2  # a run may take this much longer than the runs before it


def hand_tuned(path: str | None, device: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The hand-tuned run on task=cifar10, with overrides such as task.epochs=2 or precision=fp32.

    Where `path` is None, torchvision fetches the images into ./data. Raises ConfigError naming the key.
    """
    task = yaml.safe_load((conf_folder() / "task" / "cifar10.yaml").read_text(encoding="utf-8"))
    own: dict[str, Any] = {**HAND_TUNED, "device": device}
    hints = get_type_hints(TrainConfig)
    for override in overrides:
        name, _, word = override.partition("=")
        key = canonical(name)
        value: Any = {"true": True, "false": False, "null": None}.get(word, word)
        with suppress(ValueError):
            value = float(word)
        if key.startswith("task."):
            task[key.removeprefix("task.")] = value
        elif key in MAY_CHANGE:
            own[key] = read_value(hints[key], value, key)
        else:
            raise ConfigError(f"{key} cannot be changed here; the keys are {', '.join(MAY_CHANGE)} and task.…", key=key)
    data = DataConfig(path=path, download=path is None, evaluate="test")
    return TrainConfig(task=read_dataclass(ImageTask, task, "task."), data=data, **own)


def data_name(checksum: str, jpeg: bool) -> str:
    """The name of the images in every table."""
    return "CIFAR-10 (JPEG)" if jpeg or checksum in JPEG_CHECKSUMS else "CIFAR-10"


def group(config: TrainConfig, jpeg: bool, overrides: Sequence[str] = ()) -> dict[str, str]:
    """The columns `GROUP` of this configuration's rows."""
    device = resolve_device(config.device)
    checksum = load(config.task, config.data, device).checksum
    about = {
        **asdict(config.task),
        **{key: getattr(config, key) for key in HAND_TUNED},
        **{"task": config.task.name, "data": data_name(checksum, jpeg), "checksum": checksum},
        **{"train_images": config.training_images, "overrides": " ".join(sorted(overrides))},
        **{"device": f"{device.type} ({device_name(device)})", "torch": torch.__version__},
        "precision": resolve_precision(config.precision, device),
    }
    return {key: str(about[key]) for key in GROUP}


def measured(path: Path, about: dict[str, str]) -> list[dict[str, str]]:
    """The rows on file that belong to this group, one a seed."""
    return [row for row in rows.read(path) if all(row.get(key) == value for key, value in about.items())]


def measure(
    config: TrainConfig, about: dict[str, str], path: Path, seeds: int, deadline: float | None = None
) -> list[dict[str, str]]:
    """Train the seeds that are not on file, as far as they end before `deadline` (time.monotonic); all rows of the group."""
    for seed in range(seeds):
        found = measured(path, about)
        if str(seed) in {row["seed"] for row in found}:
            continue
        slowest = max((float(row["wall_seconds"]) for row in found), default=0.0) or expected_seconds(config)
        if deadline is not None and time.monotonic() + MARGIN * slowest > deadline:
            print(f"seed {seed} would not end in time; the same command goes on from here", flush=True)
            break
        began = time.perf_counter()
        result = train(replace(config, seed=seed))
        cuda = resolve_device(config.device).type == "cuda"
        row = {
            **{"seed": seed, "accuracy": f"{result.accuracy:.2f}", "diverged": result.diverged, "steps": result.steps},
            **{"seconds": f"{result.seconds:.3f}", "wall_seconds": f"{time.perf_counter() - began:.3f}"},
            "peak_memory_mib": f"{torch.cuda.max_memory_allocated() / 2**20:.0f}" if cuda else "",
            **{"threads": result.threads, "python": provenance()["python"], "git": provenance()["git"]},
            "date": datetime.date.today().isoformat(),
        }
        rows.append(path, {**about, **row})
        print(f"seed {seed}: {result.accuracy:.2f} % in {result.seconds:.1f} s", flush=True)
    return measured(path, about)


def time_epochs(config: TrainConfig, about: dict[str, str], path: Path, count: int) -> None:
    """Train the first `count` epochs of a whole run; times and results of each go to a JSON file as they end."""
    epochs: list[dict[str, float]] = []
    result = {
        **{key: about[key] for key in ("data", "device", "precision")},
        "of": config.task.epochs,
        "steps": config.steps_per_epoch,
        "versions": {key: value for key, value in provenance().items() if key not in ("host", "scikit-learn")},
        "epochs": epochs,
    }

    def keep(epoch: Epoch) -> None:
        epochs.append({key: getattr(epoch, key) for key in ("number", "train_loss", "loss", "accuracy", "seconds")})
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(epochs[-1], flush=True)
        if len(epochs) == count:
            raise StopIteration

    with suppress(StopIteration):
        train(config, on_epoch=keep)


def bar(found: Sequence[rows.Row], seeds: int) -> float | None:
    """The target that stands for 94 % on other data: the hand-tuned setting's mean less 0.1; None until all seeds ran."""
    accuracies = [float(row["accuracy"]) for row in found]
    return round(statistics.fmean(accuracies) - 0.1, 2) if len(accuracies) >= seeds else None
