"""The keys of `curvature` in a command's configuration; every mistake is one sentence that names the key. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatdirs.config.values import check_picture, check_writable, read_dataclass, read_value
from flatdirs.errors import ConfigError
from flatdirs.training.records import CurvatureConfig, TrainConfig

FILES = {"figure": "curvature.png", "save": "curvature.csv"}  # keys of `train` alone, with an example each


def read_curvature(settings: Mapping[str, Any]) -> CurvatureConfig:
    """When the curvature is looked at; never, where a command has no such keys. Raises ConfigError naming the key."""
    keys = settings.get("curvature", {})
    if not isinstance(keys, Mapping):
        raise ConfigError(f"curvature={keys} must hold keys of its own; set curvature.every={keys}")
    own = {key: value for key, value in keys.items() if key not in FILES}
    return read_dataclass(CurvatureConfig, own, "curvature.")


def read_curvature_files(settings: Mapping[str, Any], config: TrainConfig) -> dict[str, Path]:
    """`figure` and `save` of the curvature, where they are named. Raises ConfigError naming the key."""
    every, paths = config.curvature.every or 0, {}
    if every > config.total_steps:
        raise ConfigError(f"curvature.every={every} is more than the {config.total_steps} steps of the run; lower it")
    for key, example in FILES.items():
        if (name := read_value(str | None, settings["curvature"].get(key), f"curvature.{key}")) is None:
            continue
        if not every:
            raise ConfigError(f"curvature.{key}={name} has nothing to show; set curvature.every=10, or leave it out")
        paths[key] = Path(name)
        check_writable(paths[key], f"curvature.{key}", example)
        if key == "figure":
            check_picture(paths[key], "curvature.figure")
    return paths
