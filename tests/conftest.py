"""Shared pieces of the tests: commands in this process, commands in a process of their own, a cheap objective."""

from __future__ import annotations

import gc
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' networks are tiny; threads would wait for each other

ROOT = Path(__file__).resolve().parent.parent

SURFACE = '''
import math, os, pathlib, time

def train(lr, momentum, wd, seed, report):
    """A smooth hill with its top at lr·wd/(1−momentum) = 0.00256, momentum = 0.75, wd = 0.00125; noted in calls.txt."""
    with open("calls.txt", "a") as file:
        file.write(f"{lr!r} {momentum!r} {wd!r} {seed}\\n")
    c = math.log2(lr * wd / (1 - momentum) / 0.00256)
    report(1, 50.0)
    return 94 - c * c - 0.3 * math.log2((1 - momentum) / 0.25) ** 2 - 0.2 * math.log2(wd / 0.00125) ** 2
'''


def pytest_configure(config: pytest.Config) -> None:
    """Tests do not measure speed: a busy machine is slow. Hypothesis may be missing where only `gpu` tests run."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Let no later garbage collection walk through what the imports left: it stays as long as the process."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what wants a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a user's own module in it, under a name no other test uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{module_of(tmp_path)}.py").write_text(SURFACE, encoding="utf-8")
    return tmp_path


def module_of(folder: Path) -> str:
    """A module name of this folder's own: Python imports a name once a process."""
    return f"surface_{abs(hash(str(folder)))}"


def own_function(folder: Path) -> list[str]:
    """The overrides that tune the hill of `workplace` by the source's search, from the source's start."""
    function = f"task.function={module_of(folder)}:train"
    return ["task=callable", function, "search=myrtle", "start=myrtle", "confirm=0", "live=false"]


def told_nothing(folder: Path) -> list[str]:
    """The overrides that tune the same hill by the default search, from the default start."""
    return ["task=callable", f"task.function={module_of(folder)}:train", "confirm=0", "live=false"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run an entry point in this process."""

    def run(name: str, *arguments: str) -> Ended:
        from importlib import import_module

        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            import_module(f"flatdirs.cli.{name}").main(list(arguments))
        code = end.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    return run


def composed(name: str, *words: str) -> dict[str, Any]:
    """The plain settings that a command's words compose to."""
    from flatdirs.cli.arguments import read_words
    from flatdirs.cli.compose import compose

    return compose(name, read_words(name, words))


def printed_commands(text: str) -> list[list[str]]:
    """The entry point and arguments of every printed `flatdirs …` command, as a shell reads them."""
    lines = re.findall(r"^(?:.*: |# )flatdirs (\S.*)$", text, re.MULTILINE)
    words = [shlex.split(line, comments=True) for line in lines]
    return [[name.replace("-", "_"), *arguments] for name, *arguments in words]


def printed_command(text: str, label: str) -> list[str]:
    """The entry point and arguments of the command printed behind a label such as "start from it"."""
    (found,) = printed_commands("\n".join(line for line in text.splitlines() if line.startswith(f"{label}: ")))
    return found


def spawn(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """`python -m …` in a process of its own, with everything it prints in pipes.

    Ctrl-C is given back its meaning, which a background job of a shell would have lost.
    """
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def calls(folder: Path) -> list[str]:
    """What the user's function was called with, in order."""
    return (folder / "calls.txt").read_text(encoding="utf-8").splitlines()
