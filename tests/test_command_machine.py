"""A search of a command on a real machine: killed and continued, in several workers, on cards, beside other files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Ended, spawn
from tests.scripts import python, states, study_in

Command = Callable[..., Ended]
TUNE = ["tune", "metric=val_acc", "confirm=0"]
LR = ["--lr", "0.1"]
SLOW = "open(os.environ['FLATDIRS_RUN_DIR'] + '/began', 'w')\nprint('val_acc', 0.8125 - lr, flush=True)\n"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what a test leaves running in it is killed."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for process in running(tmp_path):
        process.kill()


def running(here: Path) -> list[psutil.Process]:
    """What of the runs in this folder is there."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(here) in process.environ().get("FLATDIRS_RUN_DIR", "") and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def searching(here: Path) -> list[psutil.Process]:
    """The processes of flatdirs that work in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(here) and process.pid != os.getpid() and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def begun(here: Path, count: int) -> Callable[[], bool]:
    """Whether so many runs have begun."""
    return lambda: len(list((here / "studies").glob("*/runs/*/began"))) >= count


class TestInterrupted:
    """The same command goes on after a Ctrl-C, or after a kill -9."""

    BODY = f"{SLOW}if not os.path.exists('go') and lr != 0.1: time.sleep(60)"

    def interrupted(self, here: Path, number: signal.Signals) -> subprocess.Popen[str]:
        words = [*TUNE, "budget=4", "run.keep=all", "--", *python(here, self.BODY), *LR]
        process = spawn("flatdirs", *words, cwd=here)
        until(begun(here, 2))
        assert running(here)
        process.send_signal(number)
        process.communicate(timeout=30)
        return process

    def goes_on(self, here: Path, command: Command) -> Ended:
        (here / "go").touch()
        ended = command(*TUNE, "budget=4", "run.keep=all", "--", "python", "train.py", *LR)
        assert ended.code == 0, ended.err
        assert "continuing after 1 run" in ended.out
        assert states(study_in(here, "train-flatdirs")) == ["finished"] * 4
        return ended

    def test_ctrl_c(self, here: Path, command: Command) -> None:
        assert self.interrupted(here, signal.SIGINT).returncode == 130
        assert not running(here)
        self.goes_on(here, command)

    def test_kill_9(self, here: Path, command: Command) -> None:
        assert self.interrupted(here, signal.SIGKILL).returncode == -9
        until(lambda: not running(here))
        self.goes_on(here, command)

    def test_terminated(self, here: Path, command: Command) -> None:
        self.interrupted(here, signal.SIGTERM)
        until(lambda: not running(here))
        self.goes_on(here, command)


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGINT, signal.SIGTERM))],
)
def test_nothing_of_several_workers_is_left(number: signal.Signals, here: Path) -> None:
    body = f"{SLOW}if lr != 0.1: time.sleep(60)"
    process = spawn("flatdirs", *TUNE, "workers=3", "run.keep=all", "--", *python(here, body), *LR, cwd=here)
    until(begun(here, 4))
    process.send_signal(number)
    process.communicate(timeout=60)
    until(lambda: not running(here))
    until(lambda: not searching(here))


class TestChanged:
    """A script that is not what it was."""

    def test_one_sentence_and_anyway(self, here: Path, command: Command) -> None:
        words = python(here, "print('val_acc', 0.8125 - lr)")
        assert command(*TUNE, "budget=1", "--", *words, *LR).code == 0
        python(here, "print('val_acc', 0.5 - lr)")
        refused = command(*TUNE, "budget=2", "--", *words, *LR)
        assert refused.code == 2
        assert "anyway=true" in refused.err
        assert len(study_in(here, "train-flatdirs").runs()) == 1
        assert command(*TUNE, "budget=2", "anyway=true", "--", *words, *LR).code == 0
        unchanged = command(*TUNE, "budget=3", "--", *words, *LR)
        assert unchanged.code == 0, unchanged.err


class TestShared:
    """Files outside a run's folder, and several workers."""

    CHECKPOINT = "print('val_acc', 0.8125 - lr); open('last.ckpt', 'w').write('x')"
    OWN = "out = sys.argv[sys.argv.index('--out') + 1]; print('val_acc', 0.8125 - lr); open(out + '/last.ckpt', 'w')"

    def test_shared_files_are_named(self, here: Path, command: Command) -> None:
        ended = command(*TUNE, "budget=2", "--", *python(here, self.CHECKPOINT), *LR)
        assert ended.code == 0, ended.err
        assert ended.out.count("last.ckpt") == 1
        assert "--out {run_dir}" in ended.out

    def test_workers_may_not_share_them(self, here: Path, command: Command) -> None:
        words = [*TUNE, "budget=4", "workers=2", "--", *python(here, self.CHECKPOINT), *LR]
        ended = command(*words)
        assert ended.code == 2
        assert "last.ckpt" in ended.err
        assert len(study_in(here, "train-flatdirs").runs()) == 1
        told = command(words[0], "anyway=true", *words[1:])
        assert told.code == 0, told.err
        assert len(study_in(here, "train-flatdirs").runs()) == 4

    def test_two_workers_with_folders_of_their_own(self, here: Path, command: Command) -> None:
        words = [*python(here, f"{self.OWN}\ntime.sleep(0.3)"), *LR, "--out", "{run_dir}"]
        ended = command(*TUNE, "budget=8", "workers=2", "run.keep=all", "--", *words)
        assert ended.code == 0, ended.err
        assert "outside" not in ended.out
        study = study_in(here, "train-flatdirs")
        assert len(study.runs()) >= 8
        workers = {str(trial.system_attrs["flatdirs:claim"]["worker"]) for trial, _ in study.runs()}
        assert len(workers) == 2
        assert len(list(here.glob("studies/*/runs/*/last.ckpt"))) == len(study.runs())

    @pytest.mark.parametrize("keep", ["best", "none", "all"])
    def test_what_is_kept(self, keep: str, here: Path, command: Command) -> None:
        words = [*python(here, self.OWN), *LR, "--out", "{run_dir}"]
        ended = command(*TUNE, "budget=3", f"run.keep={keep}", "--", *words)
        assert ended.code == 0, ended.err
        kept = {path.parent.name for path in here.glob("studies/*/runs/*/last.ckpt")}
        best = f"{int(ended.out.partition('best: run ')[2].split()[0]):04d}"
        assert kept == {"best": {best}, "none": set(), "all": {"0001", "0002", "0003"}}[keep]
        assert len(list(here.glob("studies/*/runs/*/output.log"))) == 3


class TestThreadsAndCards:
    """What of the machine a run gets."""

    SHOW = (
        "print('val_acc', 0.8125 - lr); time.sleep(0.3)\n"
        "names = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'FLATDIRS_SEED', 'PYTHONUNBUFFERED')\n"
        "print(' '.join(f'{name}={os.environ.get(name)}' for name in names))"
    )

    def shown(self, here: Path, name: str) -> list[str]:
        """The value of a variable in each run."""
        logs = sorted(here.glob("studies/*/runs/*/output.log"))
        words = [word for log in logs for word in log.read_text().split() if word.startswith(f"{name}=")]
        assert len(words) == len(logs)
        return [word.partition("=")[2] for word in words]

    def test_a_fair_share_of_threads(self, here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("PATH", without_cards())
        ended = command(*TUNE, "budget=4", "workers=2", "--", *python(here, self.SHOW), *LR)
        assert ended.code == 0, ended.err
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        assert set(self.shown(here, "OMP_NUM_THREADS")) == {str(max(1, cores // 2))}

    def test_one_worker_has_the_machine_as_it_is(
        self, here: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert command(*TUNE, "budget=1", "--", *python(here, self.SHOW), *LR).code == 0
        assert self.shown(here, "OMP_NUM_THREADS") == ["None"]
        assert self.shown(here, "PYTHONUNBUFFERED") == ["1"]

    def test_each_worker_has_its_card(
        self, here: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        locks = str(tmp_path_factory.mktemp("locks"))
        stand_in(here / "bin")
        monkeypatch.setenv("PATH", f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("TMPDIR", locks)
        monkeypatch.setattr("tempfile.tempdir", locks)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        ended = command(*TUNE, "budget=8", "workers=2", "--", *python(here, self.SHOW), *LR)
        assert ended.code == 0, ended.err
        assert set(self.shown(here, "CUDA_VISIBLE_DEVICES")) == {"GPU-aaaa", "GPU-bbbb"}
        refused = command(*TUNE, "budget=9", "workers=3", "--", "python", "train.py", *LR)
        assert refused.code == 2
        assert "run.share=true" in refused.err


def stand_in(folder: Path) -> None:
    """A program called nvidia-smi that knows two cards."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    cards = "".join(f"GPU {i}: Stand-in (UUID: GPU-{letter * 4})\n" for i, letter in enumerate("ab"))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{cards}END\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def without_cards() -> str:
    """PATH without the folders that hold a program asking for cards."""
    folders = os.environ["PATH"].split(os.pathsep)
    tools = ("nvidia-smi", "rocm-smi", "amd-smi")
    return os.pathsep.join(f for f in folders if not any((Path(f) / tool).exists() for tool in tools))


def test_each_run_gets_its_seed(here: Path, command: Command) -> None:
    body = "print('val_acc', 0.8125 - lr + int(sys.argv[-1]) / 10000); print('SEED', sys.argv[-1])"
    ended = command(*TUNE, "budget=2", "confirm=4", "seed=5", "--", *python(here, body), *LR, "--seed", "42")
    assert ended.code == 0, ended.err
    logs = sorted(here.glob("studies/*/runs/*/output.log"))
    seeds = [int(log.read_text().split("SEED")[1]) for log in logs]
    assert set(seeds) == {5, 1005, 1006, 1007}, "those of the search, and fresh ones until the worse lr is dropped"
    assert "confirmed, 3 fresh seeds: runner-up" in ended.out
