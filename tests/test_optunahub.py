"""The sampler in OptunaHub's layout, loaded as OptunaHub loads it."""

from __future__ import annotations

import runpy
from pathlib import Path

import optuna
import pytest
import yaml

from flatdirs import FlatDirectionsSampler

optunahub = pytest.importorskip("optunahub")
REGISTRY = Path(__file__).parent.parent / "examples" / "optunahub" / "package"
FOLDER = REGISTRY / "samplers" / "flatdirs"


def test_the_module_gives_the_sampler_and_its_example_runs_with_it() -> None:
    module = optunahub.load_local_module("samplers/flatdirs", registry_root=str(REGISTRY))
    assert module.FlatDirectionsSampler is FlatDirectionsSampler
    objective = runpy.run_path(str(FOLDER / "example.py"))["objective"]
    study = optuna.create_study(direction="maximize", sampler=module.FlatDirectionsSampler(seed=0))
    study.optimize(objective, n_trials=15)
    assert study.best_value > 93.5


def test_the_registry_finds_what_it_reads() -> None:
    assert {"README.md", "LICENSE", "__init__.py", "example.py"} <= {path.name for path in FOLDER.iterdir()}
    assert (FOLDER / "LICENSE").read_bytes() == (FOLDER.parents[4] / "LICENSE").read_bytes()
    _, front, text = (FOLDER / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    told = yaml.safe_load(front)
    assert {"author", "title", "description", "tags", "optuna_versions", "license"} <= told.keys()
    assert "sampler" in told["tags"]
    assert all(f"## {head}\n" in text for head in ("Abstract", "APIs", "Installation", "Example"))
