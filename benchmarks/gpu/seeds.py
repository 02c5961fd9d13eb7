"""The hand-tuned setting of the source, seed by seed: λ=0.4, ρ=0.9, α=5e-4 on CIFAR-10, judged on the test images.

This is the bar that every search has to reach (reference/004: 94 % in 24 epochs). It needs torch, numpy and PyYAML alone,
so that it runs on a machine with a card and little else. Rows of different data, settings, devices, precisions or torch
versions may stand in one file and are never averaged together: `GROUP` keeps them apart.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import torch
import yaml

from benchmarks import rows
from benchmarks.gpu.page import GROUP
from flatdirs.errors import ConfigError
from flatdirs.objectives.provenance import provenance
from flatdirs.resources import conf_folder
from flatdirs.training.data import load
from flatdirs.training.device import device_name, resolve_device, resolve_precision
from flatdirs.training.loop import TrainConfig, expected_seconds, train
from flatdirs.training.task import DataConfig, ImageTask

HAND_TUNED = {"learning_rate": 0.4, "momentum": 0.9, "weight_decay": 5e-4}  # reference/004
JPEG_CHECKSUMS = {"1b9326d1"}  # data sets known to be JPEG copies, named or not
MAY_CHANGE = ("learning_rate", "momentum", "weight_decay", "batch_size", "precision", "threads", "compile")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
MARGIN = 1.2  # a run may take this much longer than the runs before it


def hand_tuned(path: str | None, device: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The hand-tuned run on task=cifar10, with overrides such as task.epochs=2 or precision=fp32.

    Where `path` is None, torchvision fetches the images into ./data. Raises ConfigError for a key that is not there.
    """
    task = yaml.safe_load((conf_folder() / "task" / "cifar10.yaml").read_text(encoding="utf-8"))
    own: dict[str, Any] = {**HAND_TUNED, "device": device}
    for override in overrides:
        key, _, value = override.partition("=")
        (task if key.startswith("task.") else own)[key.removeprefix("task.")] = _typed(key, value)
    data = DataConfig(path=path, download=path is None, evaluate="test")
    return TrainConfig(task=ImageTask(**task), data=data, **own)


def _typed(key: str, value: str) -> Any:
    """An override's value as its key wants it. Raises ConfigError for other keys and other kinds of values."""
    hints = {f"task.{name}": hint for name, hint in get_type_hints(ImageTask).items()}
    hints |= {name: hint for name, hint in get_type_hints(TrainConfig).items() if name in MAY_CHANGE}
    if key not in hints:
        raise ConfigError(f"{key} cannot be changed here; the keys are {', '.join(MAY_CHANGE)} and task.…")
    wanted = [kind for kind in (get_args(hints[key]) or (hints[key],)) if kind is not NoneType]
    if value == "null" and NoneType in get_args(hints[key]):
        return None
    words: dict[str, Any] = {"true": True, "false": False} if bool in wanted else {}
    try:
        return words[value] if words else wanted[0](value)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{key}={value} must be {KINDS[wanted[0]]}; change {key}") from error


def data_name(checksum: str, jpeg: bool) -> str:
    """What to call the images in every table."""
    return "CIFAR-10 (JPEG)" if jpeg or checksum in JPEG_CHECKSUMS else "CIFAR-10"


def group(config: TrainConfig, jpeg: bool, overrides: Sequence[str] = ()) -> dict[str, str]:
    """What rows must have in common to be averaged."""
    device = resolve_device(config.device)
    checksum = load(config.task, config.data, device).checksum
    told = {
        "data": data_name(checksum, jpeg),
        "checksum": checksum,
        **asdict(config.task),
        "task": config.task.name,
        "train_images": config.training_images,
        **{key: getattr(config, key) for key in HAND_TUNED},
        "overrides": " ".join(sorted(overrides)),
        "device": f"{device.type} ({device_name(device)})",
        "precision": resolve_precision(config.precision, device),
        "torch": torch.__version__,
    }
    return {key: str(told[key]) for key in GROUP}


def measured(path: Path, about: dict[str, str]) -> list[dict[str, str]]:
    """The rows on file that belong to this group, one a seed."""
    return [row for row in rows.read(path) if all(row.get(key) == value for key, value in about.items())]


def seconds_per_run(found: Sequence[rows.Row], config: TrainConfig) -> float:
    """What a run takes here: the slowest run so far, or an estimate before there is one."""
    return max((float(row["wall_seconds"]) for row in found), default=0.0) or expected_seconds(config)


def measure(
    config: TrainConfig, about: dict[str, str], path: Path, seeds: int, deadline: float | None = None
) -> list[dict[str, str]]:
    """Train the seeds that are not on file, as far as they end before `deadline` (time.monotonic); all rows of the group."""
    for seed in range(seeds):
        found = measured(path, about)
        if str(seed) in {row["seed"] for row in found}:
            continue
        if deadline is not None and time.monotonic() + MARGIN * seconds_per_run(found, config) > deadline:
            print(f"seed {seed} would not end in time; the same command goes on from here", flush=True)
            break
        began = time.perf_counter()
        result = train(replace(config, seed=seed))
        row = {
            **about,
            "seed": seed,
            "accuracy": f"{result.accuracy:.2f}",
            "diverged": result.diverged,
            "steps": result.steps,
            "seconds": f"{result.seconds:.3f}",
            "wall_seconds": f"{time.perf_counter() - began:.3f}",
            "peak_memory_mib": peak_memory(resolve_device(config.device)),
            "threads": result.threads,
            "python": provenance()["python"],
            "git": provenance()["git"],
            "date": datetime.date.today().isoformat(),
        }
        rows.append(path, row)
        print(f"seed {seed}: {result.accuracy:.2f} % in {result.seconds:.1f} s", flush=True)
    return measured(path, about)


def peak_memory(device: torch.device) -> str:
    """The card's memory in use at most since the process began, in MiB; empty on a CPU."""
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}" if device.type == "cuda" else ""


def bar(found: Sequence[rows.Row], seeds: int) -> float | None:
    """The target that stands for 94 % on other data: the hand-tuned setting's mean less 0.1; None until all seeds ran."""
    accuracies = [float(row["accuracy"]) for row in found]
    return round(statistics.fmean(accuracies) - 0.1, 2) if len(accuracies) >= seeds else None
