"""Commands that fail, hang, print nonsense or leave something behind, through `flatdirs tune`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flatdirs.tuning import failures
from tests.conftest import Ended
from tests.scripts import python, settings_of, states, study_in

Command = Callable[..., Ended]
TUNE = ["tune", "metric=val_acc", "confirm=0"]
LR = ["--lr", "0.1"]
COUNT = "open('count', 'a').write('x'); n = len(open('count').read())\n"  # which call this is
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def calls(here: Path) -> int:
    """How often the command has run."""
    return len((here / "count").read_text())


def left(here: Path) -> list[str]:
    """What of the runs in this folder is still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(here) in process.environ().get("FLATDIRS_RUN_DIR", ""):
                found.append(process.name())
        except psutil.Error:
            continue
    return found


class TestFailures:
    """Exit code ≠ 0, or no metric."""

    @pytest.mark.parametrize(
        "body", ["print('on the way'); sys.exit(3)", "print('on the way')"], ids=["exit", "metric"]
    )
    def test_the_first_one_stops_the_search(self, body: str, here: Path, command: Command) -> None:
        ended = command(*TUNE, "budget=3", "--", *python(here, COUNT + body), *LR)
        assert ended.code == 2
        assert "on the way" in ended.err
        assert calls(here) == 1
        python(here, COUNT + "print('val_acc', 0.8125 - lr)")
        assert command(*TUNE, "budget=2", "--", "python", "train.py", *LR).code == 0
        assert calls(here) == 3

    def test_a_command_that_is_not_there(self, here: Path, command: Command) -> None:
        ended = command(*TUNE, "budget=3", "--", "./nowhere", *LR)
        assert ended.code == 2
        assert "./nowhere" in ended.err
        assert ended.err.count("\n") == 1

    def test_a_later_one_is_tried_once_more(self, here: Path, command: Command) -> None:
        body = COUNT + "if n == 2: sys.exit(3)\nprint('val_acc', 0.8125 - lr ** 2)"
        ended = command(*TUNE, "budget=3", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert calls(here) == 4
        assert states(study_in(here, "train-flatdirs")) == ["finished"] * 3
        assert "run 2 exited with code 3; it is tried again" in ended.out

    def test_so_is_a_fresh_one_of_the_race(self, here: Path, command: Command) -> None:
        body = "seed = int(sys.argv[-1])\nif seed == 1001 and lr == 0.1 and not os.path.exists('failed'):\n"
        body += "    open('failed', 'w').close(); sys.exit(3)\nprint('val_acc', 0.8125 + lr + seed / 1e6)"
        ended = command(
            "tune", "metric=val_acc", "confirm=4", "budget=2", "--", *python(here, body), *LR, "--seed", "0"
        )
        assert ended.code == 0, ended.err
        stored = study_in(here, "train-flatdirs").confirmations()
        assert [run["state"] for run in stored.values()] == ["finished"] * 8
        assert ended.out.count("; it is tried again") == 1

    @pytest.mark.parametrize("end", ["sys.exit(3)", "sys.exit(0)", "os.kill(os.getpid(), 15)"])
    def test_and_counts_as_diverged_then(self, end: str, here: Path, command: Command) -> None:
        body = COUNT + f"if lr > 0.2: {end}\nprint('val_acc', 0.8125 - lr)"
        ended = command(*TUNE, "budget=3", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        study = study_in(here, "train-flatdirs")
        assert states(study) == ["finished", "diverged", "finished"]
        assert calls(here) == 4

    def test_the_incumbents_own_stops_the_search(self, here: Path, command: Command) -> None:
        body = "before = open('seen', 'a+'); before.seek(0)\nif f'<{lr}>' in before.read(): sys.exit(3)\n"
        body += "before.write(f'<{lr}>'); print('val_acc', 0.8125 - (lr - 0.1) ** 2)"
        ended = command(*TUNE, "budget=25", "--", *python(here, body), *LR)
        assert ended.code == 2
        assert "incumbent" in ended.err
        before = len(study_in(here, "train-flatdirs").runs())
        python(here, "print('val_acc', 0.8125 - (lr - 0.1) ** 2)")
        again = command(*TUNE, f"budget={before + 1}", "anyway=true", "--", "python", "train.py", *LR)
        assert again.code == 0, again.err
        assert len(study_in(here, "train-flatdirs").runs()) == before + 1


class TestMemory:
    """Out of memory: a result where a size is searched, elsewhere a reason to wait."""

    @pytest.fixture(autouse=True)
    def no_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failures, "PAUSE_SECONDS", 0.01)

    def test_it_waits_and_tries_again(self, here: Path, command: Command) -> None:
        body = COUNT + "if n in (2, 3): sys.exit('RuntimeError: CUDA out of memory')\nprint('val_acc', 0.8125 - lr)"
        ended = command(*TUNE, "budget=2", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished"] * 2
        assert calls(here) == 4

    def test_with_a_batch_size_to_search_it_counts(self, here: Path, command: Command) -> None:
        batch = "b = int(sys.argv[sys.argv.index('--batch-size') + 1])\n"
        body = COUNT + batch + "if b > 64: sys.exit('CUDA out of memory')\nprint('val_acc', 0.8125 - lr / b)"
        words = ["tune=[batch_size]", "budget=4", "--", *python(here, body), *LR, "--batch-size", "64"]
        ended = command(*TUNE, *words)
        assert ended.code == 0, ended.err
        study = study_in(here, "train-flatdirs")
        sizes = [values["batch_size"] for values in settings_of(study)]
        assert all(isinstance(size, int) for size in sizes)
        assert [state == "diverged" for state in states(study)] == [size > 64 for size in sizes]
        assert any(size > 64 for size in sizes)
        assert calls(here) == 4


class TestEnds:
    """Runs that are ended early."""

    def test_two_nans_in_a_row(self, here: Path, command: Command) -> None:
        body = (
            "for epoch in range(50):\n"
            "    value = 'nan' if lr > 0.2 and epoch else 0.8125 - lr\n"
            "    print(f'epoch {epoch} train_loss nan val_acc {value}', flush=True)\n"
            "    time.sleep(0 if lr < 0.2 or epoch < 2 else 60)\n"
        )
        ended = command(*TUNE, "budget=2", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished", "diverged"]

    def test_nan_as_the_last_value_and_once(self, here: Path, command: Command) -> None:
        body = (
            "print('val_acc', 0.5 if lr < 0.2 else 'nan')\nprint('val_acc', 0.8125 - lr)\n"
            "if lr < 0.05: print('val_acc nan')"
        )
        ended = command(*TUNE, "budget=3", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished", "finished", "diverged"]

    def test_only_nan(self, here: Path, command: Command) -> None:
        ended = command(*TUNE, "budget=2", "--", *python(here, "print('val_acc nan')"), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["diverged"] * 2
        assert "ended with val_acc nan" in ended.out

    def test_minutes_end_a_run_that_ignores_sigterm(self, here: Path, command: Command) -> None:
        body = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('val_acc', 0.8125 - lr, flush=True)\nif lr > 0.2: time.sleep(60)"
        )
        limits = ["run.minutes=0.025", "run.grace_seconds=0.2", "budget=2"]
        ended = command(*TUNE, *limits, "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished", "diverged"]
        assert not left(here)

    def test_a_pruner_stops_runs(self, here: Path, command: Command) -> None:
        body = (
            "for epoch in range(1, 9):\n    print(f'epoch {epoch} val_acc {0.8125 - lr + epoch / 1000}', flush=True)\n"
            "    time.sleep(0.01 if lr < 0.2 else 0.3)\n"
            "open(os.environ['FLATDIRS_RUN_DIR'] + '/whole', 'w')"
        )
        pruner = ["pruner=incumbent", "pruner.first=2", "pruner.spread=0.001"]
        ended = command(*TUNE, *pruner, "run.keep=all", "budget=2", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished", "pruned"]
        assert not (here / "studies/train-flatdirs/runs/0002/whole").exists()


class TestOutput:
    """What no one should print, and does."""

    def value(self, here: Path, command: Command, body: str) -> float:
        ended = command(*TUNE, "budget=1", "--", *python(here, body), *LR)
        assert ended.code == 0, ended.err
        return study_in(here, "train-flatdirs").runs()[0][1].value

    def test_100_mb_in_one_line(self, here: Path, command: Command) -> None:
        body = "for _ in range(100): sys.stdout.write('x' * 1_000_000)\nprint('\\nval_acc 0.8125')"
        assert self.value(here, command, body) == 0.8125
        assert (here / "studies/train-flatdirs/runs/0001/output.log").stat().st_size < 11_000_000

    def test_a_million_carriage_returns(self, here: Path, command: Command) -> None:
        body = "for i in range(10): sys.stdout.write('50%|#### | loss 0.5\\r' * 100_000)\nprint('\\nval_acc 0.8125')"
        assert self.value(here, command, body) == 0.8125

    def test_bytes_that_are_no_text(self, here: Path, command: Command) -> None:
        body = "sys.stdout.buffer.write(b'\\xff\\xfe\\x00 \\x1b[31m\\nval_acc: 0.8125\\n')"
        assert self.value(here, command, body) == 0.8125

    def test_a_full_disk_under_the_log(self, here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("there is no /dev/full")
        monkeypatch.setattr(
            "flatdirs.objectives.command.run_folder.FileIO", lambda path, mode: io.FileIO(str(full), mode)
        )
        ended = command(*TUNE, "budget=2", "--", *python(here, "print('val_acc', 0.8125 - lr)"), *LR)
        assert ended.code == 0, ended.err
        assert states(study_in(here, "train-flatdirs")) == ["finished"] * 2
        assert "output.log is incomplete" in ended.out


def test_a_script_that_daemonises(here: Path, command: Command) -> None:
    body = (
        "print('val_acc', 0.8125 - lr, flush=True)\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)"
    )
    ended = command(*TUNE, "budget=1", "--", *python(here, body), *LR)
    assert ended.code == 0, ended.err
    assert not left(here)
    if sys.platform == "linux":
        assert "still running when the command had ended" in ended.out


def test_a_metrics_csv_of_the_script_s_own_stays(here: Path, command: Command) -> None:
    body = "open(sys.argv[-1] + '/metrics.csv', 'w').write(f'epoch,val_acc\\n1,{0.9125 - lr}\\n'); print('val_acc 0.5')"
    words = [*python(here, body), *LR, "--out", "{run_dir}"]
    ended = command(*TUNE, "task.metric.file=metrics.csv", "run.keep=all", "budget=2", "--", *words)
    assert ended.code == 0, ended.err
    assert study_in(here, "train-flatdirs").runs()[0][1].value == pytest.approx(0.8125)
    for folder in (here / "studies/train-flatdirs/runs").iterdir():
        assert (folder / "metrics.csv").read_text().startswith("epoch,val_acc")


def test_a_metric_s_file_that_is_not_there(here: Path, command: Command) -> None:
    ended = command(*TUNE, "task.metric.file=metrics.csv", "budget=2", "--", *python(here, "print('val_acc 1')"), *LR)
    assert ended.code == 2
    assert "there is no metrics.csv" in ended.err


def test_spaces_and_umlauts_in_paths(here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = here / "Größe der Bäume"
    folder.mkdir()
    monkeypatch.chdir(folder)
    words = python(folder, "print('val_acc', 0.8125 - lr, sys.argv[-1])", "mein träning.py")
    ended = command(*TUNE, "budget=2", "--", *words, *LR, "--out", "{run_dir}/Übung 1")
    assert ended.code == 0, ended.err
    assert len(study_in(folder, "mein träning-flatdirs").runs()) == 2
    repeat = folder / "studies/mein träning-flatdirs/runs/0002/command.sh"
    assert os.system(f"sh '{repeat}' > again") == 0
    assert "0002/Übung 1" in (folder / "again").read_text(encoding="utf-8")
