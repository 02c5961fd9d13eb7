"""What may import what, what is public, and what a wheel holds."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import flatdirs
from tests.conftest import ROOT

PACKAGE = ROOT / "flatdirs"
CURVE = "flatdirs.stepsampling.curve"
MAY_IMPORT = {
    "optuna": {"study", "trials", "plan", "storages", "sampler", "reading", "sequence", "slicing", "sweep"},
    "hydra": {"command_line"},
    "omegaconf": {"command_line"},
    "torch": {"training", "train", "stepsampling", "curvature"},
    "rich": {"report", "status", "stepsampling"},
    "sklearn": {"training", "sweep"},
}


@cache
def imported(path: Path) -> set[str]:
    """Every module a file imports when it runs; what is under `if TYPE_CHECKING` is left out."""
    names: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        todo += list(ast.iter_child_nodes(node))
    return names


def part(path: Path) -> str:
    """The part of the package a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_heavy_libraries_stay_where_they_belong(library: str) -> None:
    users = {part(path) for path in PACKAGE.rglob("*.py") if library in {n.split(".")[0] for n in imported(path)}}
    assert users <= MAY_IMPORT[library]


@pytest.mark.parametrize("pure", ["chart", "charts", "lattice", "search", "replay"])
def test_the_core_is_pure(pure: str) -> None:
    allowed = {"chart", "charts", "lattice", "search", "errors", "paths"}
    for path in PACKAGE.rglob("*.py"):
        if part(path) == pure:
            own = {name.split(".")[1] for name in imported(path) if name.startswith("flatdirs.")}
            assert own <= allowed, path


@pytest.mark.parametrize("module", ["curve", "placement"])
def test_the_finders_search_is_pure(module: str) -> None:
    own = {name for name in imported(PACKAGE / "stepsampling" / f"{module}.py") if name.startswith("flatdirs.")}
    assert {name.rsplit(".", 1)[0] for name in own} <= {"flatdirs", "flatdirs.errors", "flatdirs.stepsampling", CURVE}
    probe = f"import sys, flatdirs.stepsampling.{module}; sys.exit(bool({{'torch', 'rich'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_the_sweeps_metric_is_pure() -> None:
    assert {name.split(".")[0] for name in imported(PACKAGE / "sweep" / "metric.py")} <= {
        "__future__", "collections", "dataclasses", "flatdirs", "math", "numpy",
    }  # fmt: skip
    probe = "import sys, flatdirs.sweep.settings; sys.exit(bool({'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_public_names_are_complete_and_lazy() -> None:
    for name in flatdirs.__all__:
        assert getattr(flatdirs, name) is not None
    assert dir(flatdirs) == sorted(flatdirs.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        flatdirs.nothing  # noqa: B018
    probe = "import sys, flatdirs; sys.exit(bool({'torch', 'optuna', 'numpy', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_a_configuration_is_read_without_torch() -> None:
    probe = "import sys, flatdirs.config, flatdirs.training.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


@pytest.mark.slow
def test_pages_and_figures_are_drawn_without_torch_and_optuna() -> None:
    drawing = [path for name in ("page", "figures") for path in ROOT.glob(f"benchmarks/*/{name}.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in drawing]
    assert {"benchmarks.gpu.page", "benchmarks.throughput.page"} <= set(names)
    probe = f"import sys, {', '.join(names)}; sys.exit(str({{'torch', 'optuna'}} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_a_wheel_runs_in_an_empty_folder(tmp_path: Path) -> None:
    """Built, unpacked beside nothing else of ours, and run as a console script."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    dist, site, empty = tmp_path / "dist", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(dist), str(ROOT)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    tune = [str(site / "bin/flatdirs-tune"), "budget=1", "task.epochs=1", "confirm=0"]
    for command, said in ((tune, "best: run 1 of 1"), ([sys.executable, "-m", "flatdirs.tune", "--help"], "budget:")):
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    where = "import flatdirs.paths; print(flatdirs.paths.conf_folder())"
    found = subprocess.run([sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, text=True)  # noqa: PLW1510
    assert found.stdout.startswith(str(site))
