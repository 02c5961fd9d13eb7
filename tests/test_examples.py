"""Each recipe of examples/README.md does what the page says: its own command, run with a small budget."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

pytestmark = pytest.mark.slow  # every test trains

EXAMPLES = ROOT / "examples"
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
SMALL = ["budget=2", "confirm=0", "live=false"]
LONGEST = 100
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


@dataclass(frozen=True)
class Recipe:
    """A section of the page: what is typed in which folder, and the lines of output that it shows."""

    folder: str
    commands: list[str]
    output: list[str]


def recipes() -> dict[str, Recipe]:
    """Every section with a ```console block, by its title's first word."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
        if block:
            lines = block[1].splitlines()
            words = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            folder = next(word.removeprefix("cd examples/") for word in words if word.startswith("cd "))
            found[section.split()[0].rstrip(":")] = Recipe(
                folder,
                [word for word in words if not word.startswith("cd ")],
                [line for line in lines if not line.startswith("$ ")],
            )
    return found


RECIPES = recipes()
COMMANDS = [name for name, recipe in RECIPES.items() if " -- " in recipe.commands[-1]]


def run(words: list[str], folder: Path) -> str:
    """What a program prints, stdout and stderr together; it must end with code 0."""
    ended = subprocess.run(
        words, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def copied(name: str, folder: Path) -> Path:
    """A copy of a recipe's folder, without what earlier runs left there."""
    left = shutil.ignore_patterns("studies", "logs", "outputs", "runs", "__pycache__", "checkpoint.pth.tar")
    return Path(shutil.copytree(EXAMPLES / RECIPES[name].folder, folder / RECIPES[name].folder, ignore=left))


def small(command: str) -> list[str]:
    """The words of a `flatdirs tune … -- …` command, with a budget of two runs."""
    words = shlex.split(command)
    program = words.index("--")
    asked = [word for word in words[1:program] if not word.startswith("budget=")]
    return [sys.executable, "-m", "flatdirs", *asked, *SMALL, *words[program:]]


def test_every_folder_has_its_section() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "data"}
    assert folders == {recipe.folder for recipe in RECIPES.values()} | {"slurm", "optunahub"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_line_that_is_recognised_and_tuned(name: str, tmp_path: Path) -> None:
    *before, command = RECIPES[name].commands
    assert len(command) <= LONGEST, command
    folder = copied(name, tmp_path)
    for words in before:
        run(shlex.split(words), folder)
    said = run(small(command), folder)
    for line in RECIPES[name].output:
        if line.startswith(("tuned: ", "metric: ")):
            assert line in said.splitlines()
    (best,) = folder.glob("studies/*/best.yaml")
    tuned = re.search(r"^tuned: (.*), along", said, re.MULTILINE)
    assert tuned is not None
    found = yaml.safe_load(best.read_text(encoding="utf-8"))
    assert {part.split()[0] for part in tuned[1].split(", ")} <= set(found)


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_with_a_seed_repeats_itself(name: str, tmp_path: Path) -> None:
    *before, command = RECIPES[name].commands
    folder = copied(name, tmp_path)
    for words in before:
        run(shlex.split(words), folder)
    text = re.sub(r"\{\w+:([^}]*)\}", r"\1", command.partition(" -- ")[2]).replace("{seed}", "3")
    if "--seed" not in text:
        text += {"nanogpt": " --seed=3", "perl": " 3", "hydra-command": " seed=3"}.get(name, " --seed 3")
    first, second = (re.sub(r"Time.*?\)", "", run(shlex.split(text), folder)) for _ in range(2))
    assert first == second


def test_a_function(tmp_path: Path) -> None:
    said = run([sys.executable, "tune.py", "3"], copied("function", tmp_path))
    assert re.search(r"^\{'lr': .*'momentum': .*'wd': .*\} (take the|keep your settings)", said, re.MULTILINE)


@pytest.mark.long
def test_a_hydra_app_returns_its_metric(tmp_path: Path) -> None:
    folder = copied("hydra", tmp_path)
    said = run([sys.executable, "train.py", "trainer.epochs=1", "seed=1", "optimizer=adamw"], folder)
    assert re.search(r"val/acc 0\.\d+", said)


def test_a_hydra_app(tmp_path: Path) -> None:
    folder = copied("hydra", tmp_path)
    run([sys.executable, *shlex.split(RECIPES["hydra"].commands[-1])[1:], "hydra.sweeper.budget=2"], folder)
    (results,) = folder.rglob("optimization_results.yaml")
    assert "optimizer.lr" in results.read_text(encoding="utf-8")


@pytest.mark.long
def test_a_lightning_module(tmp_path: Path) -> None:
    for module in ("lightning", "optuna_integration"):
        pytest.importorskip(module, reason="needs pip install 'flatdirs[recipes]'")
    said = run([sys.executable, "train.py", "3"], copied("lightning", tmp_path))
    assert re.search(r"^start: 0\.\d+, best: 0\.\d+ with \{'lr': .*'wd': ", said, re.MULTILINE)


@pytest.mark.long
def test_a_transformers_trainer(tmp_path: Path) -> None:
    for module in ("transformers", "accelerate"):
        pytest.importorskip(module, reason="needs pip install 'flatdirs[recipes]'")
    said = run([sys.executable, "search.py", "2"], copied("transformers", tmp_path))
    assert re.search(r"Trial 0 finished .*'learning_rate': 5e-05, 'weight_decay': 0\.01,", said)


@pytest.mark.long
def test_two_jobs_of_an_array_work_on_one_study(tmp_path: Path) -> None:
    for path in (EXAMPLES / "slurm" / "tune.sbatch", EXAMPLES / "imagenet" / "main.py"):
        shutil.copy(path, tmp_path)
    environment = {**ENVIRONMENT, "DATABASE": f"sqlite:///{tmp_path}/study.db"}
    words = ["bash", "tune.sbatch", "budget=2", "confirm=0"]
    jobs = [subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) for _ in "12"]
    said = [job.communicate()[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    runs = sorted(path.name for path in (tmp_path / "studies" / "imagenet" / "runs").iterdir() if path.is_dir())
    assert len(runs) == 2, said
