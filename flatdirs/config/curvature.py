"""The keys of `curvature`; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatdirs.config.values import check_picture, check_writable, read_dataclass, read_value
from flatdirs.setting_checks import wrong
from flatdirs.training.run_config import CurvatureConfig, TrainConfig

FILES = {"figure": "curvature.png", "save": "curvature.csv"}  # keys of `train` alone, with an example each


def read_curvature(settings: Mapping[str, Any]) -> CurvatureConfig:
    """How often the curvature is measured; never for a command without such keys."""
    keys = settings.get("curvature", {})
    if not isinstance(keys, Mapping):
        raise wrong("curvature", keys, "must hold keys", remedy=f"set curvature.every={keys}")
    own = {key: value for key, value in keys.items() if key not in FILES}
    return read_dataclass(CurvatureConfig, own, "curvature.")


def read_curvature_files(settings: Mapping[str, Any], config: TrainConfig) -> dict[str, Path]:
    """The files `curvature.figure` and `curvature.save`, if given."""
    every, paths = config.curvature.every or 0, {}
    if every > config.total_steps:
        raise wrong("curvature.every", every, f"is more than the {config.total_steps} steps of the run")
    for name, example in FILES.items():
        key = f"curvature.{name}"
        if (given := read_value(str | None, settings["curvature"].get(name), key)) is None:
            continue
        if not every:
            raise wrong(
                key, given, "has no effect without curvature.every", remedy=f"set curvature.every=10 or remove {key}"
            )
        paths[name] = Path(given)
        check_writable(paths[name], key, example)
        if name == "figure":
            check_picture(paths[name], key)
    return paths
