"""What is public, what a light install can do, and what a wheel holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import flatdirs
from tests.conftest import ROOT

WITHOUT = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in ("torch", "torchvision", "sklearn")
        return None if missing else PathFinder.find_spec(name, path, target)
sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""
FUNCTION = "def train(lr, momentum, wd, seed, report):\n    report(1, lr)\n    return -abs(lr - 0.3) - wd\n"
TUNE = ["tune", "task=callable", "task.function=mine:train", "confirm=0"]
COMMANDS = {  # words → the exit code, and what is printed
    ("tune", *TUNE[1:], "search=random", "budget=15"): (0, "best: run"),
    ("tune", *TUNE[1:], "budget=6", "study=own"): (0, "best: run"),
    ("status", "own"): (0, "best: run"),
    ("analyze", "callable-random"): (0, "flatdirs[torch]"),
    ("slices", *TUNE[1:-1], "budget=1"): (0, "drawn"),
    ("tune", *TUNE[1:], "search=gp", "study=gp"): (2, "flatdirs[torch]"),
    ("tune", "budget=1", "start=typical"): (2, "flatdirs[torch]"),
    ("tune", "budget=1"): (2, "flatdirs[torch]"),
    ("train",): (2, "flatdirs[torch]"),
    ("find-lr",): (2, "flatdirs[torch]"),
    ("carry-over", "batch_size=8:16", "--", "python", "t.py", "--lr", "0.1"): (0, "run it"),
}
PUBLIC = """
import flatdirs
flatdirs.FlatDirectionsSampler, flatdirs.IncumbentPruner, flatdirs.Chart
for name in ("CDAT", "find_learning_rate", "sharpness", "CurvatureLog", "edge_of_stability"):
    try: getattr(flatdirs, name)
    except flatdirs.MissingExtra as error: assert error.key == "flatdirs[torch]"
    else: raise AssertionError(name)
"""


def test_public_names_are_complete_and_lazy() -> None:
    for name in flatdirs.__all__:
        assert getattr(flatdirs, name) is not None
    assert dir(flatdirs) == sorted(flatdirs.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        flatdirs.nothing  # noqa: B018
    probe = "import sys, flatdirs; sys.exit(bool({'torch', 'optuna', 'numpy', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


@pytest.mark.slow
def test_a_configuration_is_read_without_torch() -> None:
    probe = "import sys, flatdirs.config.tune, flatdirs.training.run_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def give(flatdirs: list[str], commands: Iterable[tuple[str, ...]], folder: Path, environment: dict[str, str]) -> None:
    """Give some of COMMANDS; each ends with its exit code, without a traceback."""
    (folder / "mine.py").write_text(FUNCTION)
    for words in commands:
        code, said = COMMANDS[words]
        done = subprocess.run(
            [*flatdirs, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, (words, done.stderr)
        assert said in done.stdout + done.stderr, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_needs_torch_says_so_and_the_rest_runs(tmp_path: Path) -> None:
    """In an interpreter that finds no torch, torchvision or scikit-learn."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    give([sys.executable, "-m", "flatdirs"], COMMANDS, tmp_path, environment)
    subprocess.run([sys.executable, "-c", PUBLIC], env=environment, check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """Built, installed from the package index without any extra, and run in an empty folder."""
    empty, quiet = tmp_path / "empty", ["--disable-pip-version-check", "--quiet"]
    empty.mkdir()
    build = [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    programs = tmp_path / "venv/bin"
    install = [str(programs / "python"), "-m", "pip", "install", *quiet, str(wheel)]
    if subprocess.run(install, check=False, capture_output=True).returncode:
        pytest.skip("the package index is out of reach")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    give([str(programs / "flatdirs")], [*[*COMMANDS][1:3], ("train",)], empty, environment)
    subprocess.run([str(programs / "python"), "-c", PUBLIC], cwd=empty, env=environment, check=True)
    assert [path.name for path in programs.glob("flatdirs*")] == ["flatdirs"]
