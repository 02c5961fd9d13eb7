"""A command's processes: output, ends and stops, and that nothing is left, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flatdirs.errors import ObjectiveError
from flatdirs.objectives.command.guard import marked
from flatdirs.objectives.command.out_of_memory import ran_out_of_memory
from flatdirs.objectives.command.process import Ended, run_process
from flatdirs.objectives.command.run_folder import RunFolder, environment
from flatdirs.objectives.command.strays import reap_strays

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and sessions are POSIX's")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")

Run = Callable[..., Ended]


class Place:
    """A folder for one run, what it prints, and what of it is still there."""

    def __init__(self, study: Path) -> None:
        self.study, self.output = study, b""
        self.folder = RunFolder.create(study, "0001")
        self.env = environment(os.environ, run="1", run_dir=self.folder.path, seed=3, extra={})

    def run(self, *argv: str, **keywords: Any) -> Ended:
        settings = {"cwd": self.study, "should_stop": lambda: None, "output": self.read, "env": self.env, **keywords}
        return run_process(argv, **settings)

    def python(self, script: str, **keywords: Any) -> Ended:
        return self.run(sys.executable, "-S", "-c", textwrap.dedent(script), **keywords)

    def read(self, chunk: bytes) -> None:
        self.output += chunk

    def left(self) -> list[psutil.Process]:
        return marked({"FLATDIRS_RUN_DIR": str(self.folder.path)})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for process in made.left():
        process.kill()
    made.folder.log.close()


def wait_until(done: Callable[[], object]) -> None:
    """Wait for something that must happen; pytest's own limit ends a wait for what never does."""
    while not done():
        time.sleep(0.02)


def when_printed(place: Place, text: bytes, reason: str = "pruned") -> Callable[[], str | None]:
    """Stop as soon as the command has printed this."""
    return lambda: reason if text in place.output else None


IGNORES_SIGTERM = "import signal, time; signal.signal(15, 1); print('up', flush=True); time.sleep(600)"
IN_SESSIONS_OF_THEIR_OWN = """
    import subprocess, sys, time
    wait = "import signal, time; signal.signal(15, 1); print(flush=True); time.sleep(600)"
    words = dict(start_new_session=True, stdout=subprocess.PIPE)
    children = [subprocess.Popen([sys.executable, "-S", "-c", wait], **words) for _ in range(2)]
    [child.stdout.readline() for child in children]  # from now on they ignore the signal
    print("up", flush=True)
    time.sleep(600)
"""
DAEMONISES = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (0, 1, 2):
                os.close(number)
            time.sleep(600)
        os._exit(0)
    os.wait()
    print("started", flush=True)
"""


@pytest.mark.parametrize(("script", "code"), [("echo out; echo err >&2", 0), ("echo out; exit 3", 3)])
def test_a_command_ends_by_itself(place: Place, script: str, code: int) -> None:
    ended = place.run("sh", "-c", script)
    assert (ended.code, ended.stopped, ended.left_behind) == (code, None, ())
    assert place.output == (b"out\nerr\n" if code == 0 else b"out\n")


def test_a_signal_is_a_negative_code(place: Place) -> None:
    assert place.run("sh", "-c", "kill -9 $$").code == -9


def test_a_command_has_no_input_no_terminal_and_its_own_environment(place: Place) -> None:
    script = 'cat; tty; echo "$FLATDIRS_RUN $FLATDIRS_SEED $PYTHONUNBUFFERED $FLATDIRS_RUN_DIR"; exec 3<>/dev/tty'
    place.run("sh", "-c", script)
    lines = place.output.decode().splitlines()
    assert lines[:2] == ["not a tty", f"1 3 1 {place.folder.path}"]
    assert len(lines) == 3  # sh cannot open /dev/tty


def test_output_comes_while_the_command_runs(place: Place) -> None:
    ended = place.run("sh", "-c", "echo first; sleep 600", should_stop=when_printed(place, b"first", "diverged"))
    assert ended.stopped == "diverged"


def test_a_command_may_tidy_up_when_it_is_stopped(place: Place) -> None:
    script = "trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    ended = place.run("sh", "-c", script, should_stop=when_printed(place, b"up"), grace_seconds=600)
    assert (ended.code, ended.stopped) == (0, "pruned")
    assert place.output.endswith(b"saved\n")


def test_a_run_that_ignores_sigterm_is_killed(place: Place) -> None:
    ended = place.python(IGNORES_SIGTERM, should_stop=when_printed(place, b"up"), grace_seconds=0.1)
    assert (ended.code, ended.stopped) == (-9, "pruned")
    assert not place.left()


def test_minutes_stop_a_run(place: Place) -> None:
    assert place.run("sleep", "600", minutes=0.001).stopped == "minutes"


@pytest.mark.slow
def test_children_in_sessions_of_their_own_end_with_the_run(place: Place) -> None:
    ended = place.python(IN_SESSIONS_OF_THEIR_OWN, should_stop=when_printed(place, b"up"), grace_seconds=0.1)
    assert ended.stopped == "pruned"
    assert len(ended.left_behind) == 1  # the name of the interpreter
    assert not place.left()


@pytest.mark.slow
def test_a_script_that_daemonises_leaves_nothing_behind(place: Place) -> None:
    ended = place.python(DAEMONISES)
    assert (ended.code, ended.stopped) == (0, None)
    assert len(ended.left_behind) == 1
    assert place.output == b"started\n"
    assert not place.left()


@on_linux
@pytest.mark.slow
def test_a_daemon_without_our_environment_is_found_too(place: Place) -> None:
    place.run("sh", "-c", f"env -i setsid sleep 600 & echo $! > {place.study}/pid; wait & exit 0")
    pid = int((place.study / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_background_process_may_end_by_itself(place: Place) -> None:
    assert place.run("sh", "-c", "(sleep 0.2; echo late) & echo early").left_behind == ()
    assert place.output == b"early\nlate\n"


@pytest.mark.slow
def test_a_hundred_megabytes_in_one_line(place: Place) -> None:
    script = "import sys\nfor _ in range(100): sys.stdout.write('x' * 1_000_000)\nprint('\\nval_acc 0.5')"
    ended = place.python(script, output=place.folder.log.write)
    place.folder.log.close()
    log = (place.folder.path / "output.log").read_bytes()
    assert (ended.code, place.folder.problem) == (0, None)
    assert 10_000_000 < len(log) < 10_001_000
    assert log.startswith(b"x" * 1_000_000 + b"\n")
    assert log.endswith(b"\nval_acc 0.5\n")


@pytest.mark.slow
def test_a_progress_bar_of_a_million_carriage_returns(place: Place) -> None:
    script = "import sys\nfor i in range(1_000_001): sys.stdout.write(f'\\r{i} it')\nsys.stdout.flush()"
    pieces: list[int] = []

    def read(chunk: bytes) -> None:
        pieces.append(chunk.count(b"\r"))
        place.folder.log.write(chunk)

    assert place.python(script, output=read, env={**place.env, "PYTHONUNBUFFERED": ""}).code == 0
    assert sum(pieces) == 1_000_001
    assert place.folder.log.tail(5) == "1000000 it"


@pytest.mark.parametrize("name", ["no_such_program", "./no_such_file", "/", "plain.txt", ""])
def test_a_program_that_cannot_be_started(place: Place, name: str) -> None:
    (place.study / "plain.txt").write_text("no #! and not executable")
    with pytest.raises(ObjectiveError) as caught:
        place.run(name)
    assert caught.value.key == "task.command"
    assert not place.left()


def test_a_script_without_an_interpreter_line(place: Place) -> None:
    script = place.study / "script"
    script.write_text("echo hello")
    script.chmod(0o700)
    with pytest.raises(ObjectiveError) as caught:
        place.run("./script")
    assert caught.value.key == "task.command"


def test_a_working_directory_that_is_not_there(place: Place) -> None:
    with pytest.raises(ObjectiveError) as caught:
        place.run("true", cwd=place.study / "missing")
    assert caught.value.key == "run.cwd"


def test_a_path_with_spaces_and_umlauts(place: Place) -> None:
    folder = place.study / "Läufe mit Leerzeichen"
    folder.mkdir()
    script = folder / "trän ß.sh"
    script.write_text('#!/bin/sh\npwd\nprintf "%s|" "$@"')
    script.chmod(0o700)
    argv = [str(script), "--out", "grün e", "'", '"', "$x", "", "\udcff"]
    place.run(*argv, cwd=folder)
    assert place.output == f"{folder}\n".encode() + b"".join(os.fsencode(word) + b"|" for word in argv[1:])
    place.folder.write_command(argv, place.env, folder)
    again = subprocess.run([place.folder.path / "command.sh"], stdout=subprocess.PIPE, check=True)
    assert again.stdout == place.output


@pytest.mark.parametrize("where", ["output", "should_stop"])
def test_an_error_of_ours_ends_the_run_first(place: Place, where: str) -> None:
    def fail(*_: object) -> None:
        if where == "output" or b"up" in place.output:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        place.run("sh", "-c", "echo up; sleep 600", **{where: fail})
    assert not place.left()


CALLER = """
    import os, sys
    from pathlib import Path
    from flatdirs.objectives.command.process import run_process
    folder = Path(sys.argv[1])
    def output(chunk):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    env = {**os.environ, "FLATDIRS_RUN": "1", "FLATDIRS_RUN_DIR": str(folder)}
    try:
        run_process(sys.argv[3:], env=env, cwd=folder, output=output, should_stop=lambda: None,
                    grace_seconds=float(sys.argv[2]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(7)
"""


@pytest.fixture
def caller(place: Place) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A process of its own that calls run_process, up to the first line that its command prints."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, grace: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-S", "-c", textwrap.dedent(script)]
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CALLER), str(place.folder.path), str(grace), *command],
            stdout=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("script", [IGNORES_SIGTERM, IN_SESSIONS_OF_THEIR_OWN])
def test_nothing_outlives_a_flatdirs_that_is_killed(place: Place, caller: Any, script: str) -> None:
    process = caller(script, 0.1)
    assert place.left()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not place.left())


@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_is_raised_again(place: Place, caller: Any) -> None:
    process = caller(IN_SESSIONS_OF_THEIR_OWN, 600)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 7
    assert not place.left()


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(place: Place, caller: Any) -> None:
    process = caller(IGNORES_SIGTERM, 600)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert not place.left()


@on_linux
@pytest.mark.slow
def test_somebody_kills_the_process_in_between(place: Place) -> None:
    def kill_guard() -> None:
        if b"up" in place.output:
            (guard,) = psutil.Process().children()
            guard.kill()
            place.output = b""

    ended = place.python(IN_SESSIONS_OF_THEIR_OWN, should_stop=kill_guard)
    assert (ended.code, ended.stopped) == (None, None)
    assert not place.left()


@on_linux
@pytest.mark.slow
def test_the_next_start_ends_what_a_killed_one_left(place: Place, caller: Any) -> None:
    process = caller(IN_SESSIONS_OF_THEIR_OWN, 600)
    everything = len(place.left())
    assert reap_strays(place.study) == ()  # its flatdirs lives
    assert len(place.left()) == everything
    (guard,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGSTOP)
    guard.kill()
    process.kill()
    process.wait()
    wait_until(lambda: len(place.left()) == 2)  # the kernel ends the leader
    assert reap_strays(place.study / "another") == ()
    assert len(reap_strays(place.study)) == 1
    assert not place.left()


@pytest.mark.parametrize(
    ("code", "tail"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."),
        (1, "RuntimeError: [enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        (1, "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
        (1, "MemoryError"),
        (134, "terminate called after throwing an instance of 'std::bad_alloc'"),
        (1, "RuntimeError: DataLoader worker (pid 8) is killed by signal: Killed."),
        (-9, ""),
        (137, "epoch 3"),
    ],
)
def test_out_of_memory(code: int, tail: str) -> None:
    assert ran_out_of_memory(code, tail)


@pytest.mark.parametrize(
    ("code", "tail"),
    [(0, "recovered from CUDA out of memory"), (1, "KeyError: 'memory'"), (-15, "peak memory 3.2 GB"), (None, "")],
)
def test_other_failures(code: int | None, tail: str) -> None:
    assert not ran_out_of_memory(code, tail)
