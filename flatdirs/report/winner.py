"""The winner as a file: a configuration for `train --config-file`, and a start for another search."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flatdirs.report.rows import Winner
from flatdirs.report.tables import value_text


def write_winner(path: Path, study: str, found: Winner, unit: str, settings: Mapping[str, Any]) -> None:
    """Write best.yaml whole or not at all. `settings`: seed, task and data, as `train` reads them."""
    head = (
        f"# The best of study {study}: run {found.run}, {value_text(found.value, unit)}\n"
        f"# python -m flatdirs.train --config-file {path}\n"
        f"# python -m flatdirs.tune start={path}\n"
    )
    body = yaml.safe_dump({**found.hyperparameters, **settings}, sort_keys=False, allow_unicode=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(head + body, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  (the atomic one)
    finally:
        part.unlink(missing_ok=True)
