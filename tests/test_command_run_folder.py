"""The folder of a command's run: output.log, command.sh, metrics.csv, what is kept, recorded, masked and shared."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.objectives.command import run_folder
from flatdirs.objectives.command.process import run_process
from flatdirs.objectives.command.run_folder import (
    Keep,
    OutputLog,
    RunFolder,
    environment,
    recorded_environment,
)
from flatdirs.objectives.command.shell_words import masked_words
from flatdirs.objectives.command.written_files import WrittenFiles

FULL = Path("/dev/full")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    made = RunFolder.create(tmp_path / "study", "0007")
    yield made
    made.log.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_is_private_and_new(tmp_path: Path, folder: RunFolder) -> None:
    assert folder.path == (tmp_path / "study" / "runs" / "0007").resolve()
    assert mode(folder.path) == 0o700
    again = RunFolder.create(tmp_path / "study", "0007")
    again.log.close()
    assert again.path.name == "0007-2"
    assert sorted(path.name for path in folder.path.iterdir()) == ["output.log"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("a file")
    with pytest.raises(ConfigError) as caught:
        RunFolder.create(tmp_path / "study", "0001")
    assert caught.value.key == "output"


def test_what_is_written(folder: RunFolder, tmp_path: Path) -> None:
    env = {"FLATDIRS_RUN": "7", "CUDA_VISIBLE_DEVICES": "GPU-1", "WANDB_API_KEY": "s3cret", "FLATDIRS_PARENT": "9@"}
    folder.write_command(["sh", "-c", 'echo "$FLATDIRS_RUN $CUDA_VISIBLE_DEVICES"; pwd'], env, tmp_path)
    folder.write_metrics([(1, 0.5), (2.5, float("nan")), (None, 1e-20)])
    script = (folder.path / "command.sh").read_text()
    assert mode(folder.path / "command.sh") == 0o700
    assert "s3cret" not in script
    assert "PARENT" not in script
    printed = subprocess.run([folder.path / "command.sh"], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert printed == f"7 GPU-1\n{tmp_path}\n"
    assert (folder.path / "metrics.csv").read_text() == "step,value\n1,0.5\n2.5,nan\n,1e-20\n"
    assert folder.problem is None


@pytest.mark.parametrize(
    ("policy", "is_best", "kept"),
    [("all", False, True), ("best", True, True), ("best", False, False), ("none", True, False)],
)
def test_what_is_kept(folder: RunFolder, tmp_path: Path, policy: Keep, is_best: bool, kept: bool) -> None:
    outside = tmp_path / "data"
    outside.mkdir()
    (outside / "images").touch()
    folder.write_command(["true"], {}, tmp_path)
    folder.write_metrics([(1, 0.5)])
    (folder.path / "checkpoints").mkdir()
    (folder.path / "checkpoints" / "last.pt").touch()
    (folder.path / "model.pt").touch()
    (folder.path / "data").symlink_to(outside)
    folder.keep(policy, is_best=is_best)
    ours = {"command.sh", "output.log", "metrics.csv"}
    theirs = {"checkpoints", "model.pt", "data"} if kept else set()
    assert {path.name for path in folder.path.iterdir()} == ours | theirs
    assert (outside / "images").exists()


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_the_log_keeps_its_head_and_its_tail(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "output.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "HEAD_BYTES", 30)
        patch.setattr(run_folder, "TAIL_BYTES", 50)
        log = OutputLog(path)
        for chunk in chunks:
            log.write(chunk)
        log.close()
    whole, kept = b"".join(chunks), path.read_bytes()
    assert log.problem is None
    if len(whole) <= 80:
        assert kept == whole
    else:
        note = f"\n[{len(whole) - 80:15d} bytes left out]\n".encode()
        assert kept == whole[:30] + note + whole[-50:]


def test_the_end_of_the_log_as_a_terminal_shows_it(folder: RunFolder) -> None:
    folder.log.write(b"one\r\n\x1b[31mtwo\x1b[0m\n\n  0%\r 50%\r100%\n\xff\xfe \xe2\x9c\x93\nlast")
    assert folder.log.tail(4) == "two\n100%\n�� ✓\nlast"
    assert folder.log.tail(1) == "last"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    log = OutputLog(FULL)
    argv = [sys.executable, "-S", "-c", "print('x' * 300_000); print('val_acc 0.9')"]
    ended = run_process(argv, env=dict(os.environ), cwd=tmp_path, output=log.write, should_stop=lambda: None)
    assert ended.code == 0
    assert log.problem is not None
    assert log.tail(1) == "val_acc 0.9"
    log.close()


def test_a_disk_that_is_full_for_a_while(folder: RunFolder) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder.log.write(b"a" * 1000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
        folder.log.write(b"b" * 1000)
        folder.log.write(b"c" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    problem = folder.problem
    folder.log.write(b"d")
    kept = (folder.path / "output.log").read_bytes()
    assert problem is not None
    assert kept.startswith(b"a" * 1000 + b"b" * 500 + b"\n[1500 bytes are missing")
    assert kept.endswith(b"]\nd")
    assert folder.problem == problem


def test_the_environment_of_a_run(tmp_path: Path) -> None:
    base = {"HOME": "/root", "FLATDIRS_SEED": "of an outer run", "PYTHONUNBUFFERED": "0", "OMP_NUM_THREADS": "4"}
    env = environment(base, run="7", run_dir=tmp_path, seed=None, extra={"OMP_NUM_THREADS": "2"})
    assert env == {
        "HOME": "/root",
        "PYTHONUNBUFFERED": "0",
        "OMP_NUM_THREADS": "2",
        "FLATDIRS_RUN": "7",
        "FLATDIRS_RUN_DIR": str(tmp_path),
    }
    assert environment({}, run="7", run_dir=tmp_path, seed=3, extra={})["FLATDIRS_SEED"] == "3"
    assert environment({}, run="7", run_dir=tmp_path, seed=3, extra={})["PYTHONUNBUFFERED"] == "1"


def test_what_is_recorded_of_the_environment() -> None:
    env = {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0", "HF_TOKEN": "hf_x", "HOME": "/root"}
    recorded = recorded_environment({**env, "FLATDIRS_API_KEY": "abc"})
    assert recorded["values"] == {"CUDA_VISIBLE_DEVICES": "0", "FLATDIRS_API_KEY": "***", "OMP_NUM_THREADS": "2"}
    assert recorded["names"] == ["HF_TOKEN", "HOME"]


@pytest.mark.parametrize(
    ("given_words", "shown"),
    [
        (["--api-key", "abc", "--lr", "0.1"], ["--api-key", "***", "--lr", "0.1"]),
        (["--hf_token=abc"], ["--hf_token=***"]),
        (["env", "WANDB_API_KEY=abc", "python"], ["env", "WANDB_API_KEY=***", "python"]),
        (["logger.apiKey=abc", "db.password=x=y"], ["logger.apiKey=***", "db.password=***"]),
        (["--secret", "--lr", "0.1"], ["--secret", "--lr", "0.1"]),
        (["--url", "mysql://me:abc@host/x"], ["--url", "mysql://me:***@host/x"]),
        (["--max-tokens", "512", "--keyword=a", "monkey=b"], ["--max-tokens", "512", "--keyword=a", "monkey=b"]),
        (["key", "abc"], ["key", "abc"]),
        (["bash", "-c", "A_TOKEN=abc t.py --pwd 'a b' --lr 1"], ["bash", "-c", "A_TOKEN=*** t.py --pwd *** --lr 1"]),
        (["bash", "-c", "t.py x --lr 1 token=abc"], ["bash", "-c", "t.py x --lr 1 token=***"]),
    ],
)
def test_secrets_are_masked(given_words: list[str], shown: list[str]) -> None:
    assert masked_words(given_words) == shown


WRITES = """
import os, time
open("shared.pt", "w").write("weights")
open("changed.txt", "a").write("more")
os.makedirs("__pycache__", exist_ok=True)
open("__pycache__/a.pyc", "w")
open(os.environ["FLATDIRS_RUN_DIR"] + "/own.pt", "w")
open("unpacked.txt", "w")
os.utime("unpacked.txt", (0, 0))
far = open("../far/log.txt", "w", buffering=1)
far.write("line")
print("up", flush=True)
while not os.path.exists("../seen"):
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere open files are looked for, but not their modes")
def test_files_that_runs_would_share(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cwd = tmp_path / "work"
    cwd.mkdir()
    (tmp_path / "far").mkdir()
    for name in ("changed.txt", "untouched.txt"):
        (cwd / name).write_text("before")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    written = WrittenFiles(cwd, folder.path, skip=[tmp_path / "study"])
    output = bytearray()

    def look() -> None:
        if output:
            written.look()
            (tmp_path / "seen").touch()

    run_process(
        [sys.executable, "-c", WRITES],
        env=environment(os.environ, run="7", run_dir=folder.path, seed=None, extra={}),
        cwd=cwd,
        output=output.extend,
        should_stop=look,
    )
    names = [str(path.relative_to(tmp_path)) for path in written.paths()]
    assert names == ["work/shared.pt", "far/log.txt", "work/changed.txt", "work/unpacked.txt"]


def test_a_run_in_its_own_folder_shares_nothing(folder: RunFolder) -> None:
    written = WrittenFiles(folder.path, folder.path)
    (folder.path / "model.pt").touch()
    assert written.paths() == ()
