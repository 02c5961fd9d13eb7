"""Whole searches as a user runs them: their course, their limits, their workers, and what becomes of interruptions."""

from __future__ import annotations

import errno
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.cifar10_pack import unpacked
from tests.conftest import Ended, calls, module_of, own_function, spawn, told_nothing

Command = Callable[..., Ended]
pytestmark = pytest.mark.slow  # every test runs a whole command
SMALL = ["task.train_images=800", "task.validation_images=400", "task.test_images=200", "task.epochs=1"]


def around(folder: Path, name: str, body: str) -> str:
    """A module whose `train` wraps the hill of `workplace`; the override that chooses it."""
    module = f"{module_of(folder)}_{name}"
    imports = f"import math, optuna, os, threading, time\nfrom {module_of(folder)} import train as hill\n"
    (folder / f"{module}.py").write_text(f"{imports}def train(**kw):\n{body}", encoding="utf-8")
    return f"task.function={module}:train"


def change_function(folder: Path, line: str) -> None:
    """Put a line in the place of the report in the function of `workplace`."""
    module = folder / f"{module_of(folder)}.py"
    module.write_text(module.read_text(encoding="utf-8").replace("    report(1, 50.0)", line), encoding="utf-8")


def points(folder: Path) -> dict[str, list[int]]:
    """The seeds of each point that was run."""
    found: dict[str, list[int]] = {}
    for line in calls(folder):
        point, seed = line.rsplit(" ", 1)
        found.setdefault(point, []).append(int(seed))
    return found


def test_a_search_from_the_first_run_to_a_confirmed_winner(workplace: Path, command: Command) -> None:
    words = own_function(workplace)
    ended = command("tune", *words)
    assert ended.code == 0
    lines = [line for line in ended.out.splitlines() if line.startswith("run ")]
    assert lines[0].split()[:3] == ["run", "1", "start"]
    assert len([line for line in lines if "recalled" not in line]) == len(calls(workplace))
    assert "best: run" in ended.out
    best = yaml.safe_load((workplace / "studies/callable-myrtle/best.yaml").read_text(encoding="utf-8"))
    assert (best["momentum"], best["wd"]) == (0.75, 0.00125)
    assert best["lr"] * best["wd"] / 0.25 == pytest.approx(0.00256)
    before = len(calls(workplace))
    for _ in range(2):  # the second time finds the race in the study
        ended = command("tune", *words, "confirm=4")
        assert "handed over: the incumbent" in ended.out
        race = [line.split()[-1] for line in calls(workplace)[before:]]
        assert race == sorted(race)
        assert set(race) == {"1000", "1001", "1002", "1003"}
    again = command("tune", *words, "start=studies/callable-myrtle/best.yaml", "study=again", "budget=60")
    assert again.code == 0
    assert len(calls(workplace)) - before - len(race) == 7  # the start and both neighbours on three axes
    status = command("status")
    assert status.code == 0
    assert "again" in status.out
    assert "nothing is running" in status.out
    assert status.out.count("why: ") >= 6


def test_the_default_search_is_near_the_top_within_its_budget(workplace: Path, command: Command) -> None:
    ended = command("tune", *told_nothing(workplace))
    assert ended.code == 0, ended.err
    assert len(calls(workplace)) == 25
    assert all(seeds == list(range(len(seeds))) for seeds in points(workplace).values()), "replicates have new seeds"
    found = re.search(r"best: run \d+ of 25, ([\d.]+)", ended.out)
    assert found
    assert float(found.group(1)) > 93.06
    status = command("status", "callable-flatdirs")
    assert all(re.search(rf"^(run)? *{run}  ", status.out, re.MULTILINE) for run in range(1, 26))


def test_replicates_of_several_seeds_share_none(workplace: Path, command: Command) -> None:
    command("tune", *told_nothing(workplace), "repeats=2", "seed=5", "budget=12", "chart.bounds.lr=[0.09,0.11]")
    assert len(calls(workplace)) == 24
    assert all(seeds == list(range(5, 5 + len(seeds))) for seeds in points(workplace).values())


@pytest.mark.parametrize("search", ["flatdirs", "myrtle"])
def test_minimize_and_maximize_mirror_each_other(search: str, workplace: Path, command: Command) -> None:
    loss = around(workplace, "loss", "    return -hill(**kw)\n")
    words = [*own_function(workplace), f"search={search}", "budget=15"]
    command("tune", *words)
    climbed = calls(workplace)
    (workplace / "calls.txt").unlink()
    assert command("tune", *words, loss, "direction=minimize", "study=down").code == 0
    assert calls(workplace) == climbed


@pytest.mark.parametrize("search", ["random", "qmc", "myrtle", "flatdirs"])
def test_a_search_cut_in_two_is_the_same_search(search: str, workplace: Path, command: Command) -> None:
    whole = [*own_function(workplace), f"search={search}", "budget=10"]
    command("tune", *whole)
    expected = calls(workplace)
    (workplace / "calls.txt").unlink()
    for limits in (["budget=3"], ["budget=4", "minutes=50", "target=99", "storage.stale_minutes=5"], ["budget=10"]):
        assert command("tune", *whole, *limits, "study=parts").code == 0
    assert calls(workplace) == expected


@pytest.mark.parametrize("search", ["random", "qmc", "tpe", "cmaes", "gp"])
def test_optunas_searches_run_through_the_same_study(search: str, workplace: Path, command: Command) -> None:
    ended = command("tune", *own_function(workplace), f"search={search}", "budget=12")
    assert ended.code == 0
    assert len(set(calls(workplace))) == len(calls(workplace)) == 12
    assert all(1e-4 <= float(line.split()[0]) <= 10 for line in calls(workplace))
    assert "best: run" in ended.out


def test_diverged_runs_are_bad_to_optunas_searches(workplace: Path, command: Command) -> None:
    nan = around(workplace, "nan", "    value = hill(**kw)\n    return value if kw['lr'] < 0.1 else math.nan\n")
    command("tune", *own_function(workplace), nan, "search=tpe", "budget=30")
    late = [float(line.split()[0]) for line in calls(workplace)[10:]]
    assert sum(rate >= 0.1 for rate in late) < len(late) / 2


def test_fixed_hyperparameters_and_the_raw_search(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "fixed=[momentum]")
    assert {line.split()[1] for line in calls(workplace)} == {"0.5"}
    assert len({line.split()[2] for line in calls(workplace)}) > 2
    (workplace / "calls.txt").unlink()
    command("tune", *own_function(workplace), "search=raw")
    rows = [tuple(map(float, line.split()[:3])) for line in calls(workplace)]
    assert [sum(a != b for a, b in zip(row, rows[0], strict=True)) for row in rows[1:3]] == [1, 1]


def test_a_box_is_said_to_have_no_effect_on_a_search_without_one(workplace: Path, command: Command) -> None:
    assert "box.lr" in command("tune", *own_function(workplace), "box.learning_rate=[0.05,0.06]", "budget=1").out
    assert "box.lr" not in command("tune", *own_function(workplace), "budget=1", "study=without").out


def test_target_and_minutes_end_a_search(workplace: Path, command: Command) -> None:
    assert "target" in command("tune", *own_function(workplace), "target=80").out
    assert len(calls(workplace)) < 10
    (workplace / "calls.txt").unlink()
    slow = around(workplace, "slow", "    time.sleep(0.3)\n    return hill(**kw)\n")
    ended = command("tune", *own_function(workplace), slow, "minutes=0.15", "confirm=4", "study=slow")
    assert "minutes=0.15" in ended.out
    seeds = [line.split()[-1] for line in calls(workplace)]
    fresh = [seed for seed in seeds if seed != "0"]
    assert 2 <= len(seeds) - len(fresh) <= 20
    assert seeds[-len(fresh) :] == fresh == sorted(fresh)
    assert len(fresh) >= 4, "time for the race was reserved, but for the noise of single runs"


@pytest.mark.parametrize(
    "change",
    [
        "start.momentum=0.9", "seed=1", "search=raw", "search.min_gain=0.1", "chart=sgd_plain", "fixed=[momentum]",
        "repeats=2", "direction=minimize", "task=digits", "storage=sqlite", "storage=memory",
    ],
)  # fmt: skip
def test_another_search_under_the_same_name_is_refused(change: str, workplace: Path, command: Command) -> None:
    words = [*own_function(workplace), "study=taken"]
    command("tune", *words, "budget=2")
    other = ["study=taken", "task=digits", "start=myrtle", "confirm=0"] if change == "task=digits" else [*words, change]
    ended = command("tune", *other)
    assert ended.code == 2
    assert f"{change.partition('=')[0]}=" in ended.err
    assert len(calls(workplace)) == 2


def test_files_that_are_no_studies_are_left_alone(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, storage in (("journal.log", "journal"), ("study.db", "sqlite")):
        file = workplace / "studies/callable-myrtle" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("my diary, no newline at the end", encoding="utf-8")
        ended = command("tune", *own_function(workplace), f"storage={storage}")
        assert ended.code == 2
        assert name in ended.err
        assert file.read_text(encoding="utf-8") == "my diary, no newline at the end"
    assert "output" in command("tune", *own_function(workplace), f"output={file}").err

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "touch", refuse)  # root may write anywhere, so a read-only disk is simulated
    ended = command("tune", *own_function(workplace), "output=fine")
    assert ended.code == 2
    assert "output" in ended.err


def test_an_exception_ends_the_search_and_loses_no_run(workplace: Path, command: Command) -> None:
    body = (
        "    value = hill(**kw)\n    if kw['lr'] > 0.005 and not os.path.exists('mended'): raise {}\n    return value\n"
    )
    words = [*own_function(workplace), around(workplace, "bug", body.format("ValueError('out of memory')")), "budget=6"]
    ended = command("tune", *words)
    assert ended.code == 2
    assert "task.catch=true" in ended.err.splitlines()[0]
    assert "ValueError: out of memory" in ended.err.splitlines()[-1]
    assert "in train" in ended.err
    assert "flatdirs/" not in ended.err
    assert len(calls(workplace)) == 4
    (workplace / "mended").touch()
    command("tune", *words)
    assert len(calls(workplace)) == 4 + 3
    assert calls(workplace)[3] == calls(workplace)[4]
    (workplace / "mended").unlink()
    files = around(workplace, "files", body.format("PermissionError(13, 'Permission denied', 'images.bin')"))
    ended = command("tune", *own_function(workplace), files, "study=files")
    assert ended.code == 2
    assert "images.bin" in ended.err
    caught = command("tune", *own_function(workplace), files, "study=files", "task.catch=true")
    assert caught.code == 0, caught.err
    assert "  diverged  " in caught.out


def test_a_changed_function_is_told_once(workplace: Path, command: Command) -> None:
    words = own_function(workplace)
    file = f"{module_of(workplace)}.py"

    def told(budget: int) -> list[str]:
        process = spawn("flatdirs", "tune", *words, f"budget={budget}", cwd=workplace)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return [line for line in out.splitlines() if file in line and "changed" in line]

    assert told(3) == told(4) == []
    change_function(workplace, "    report(1, 40.0)")
    assert len(told(5)) == 1
    assert told(6) == []


@pytest.mark.parametrize(("rank", "size", "code"), [("0", "2", 2), ("1", "2", 2), ("0", "1", 0)])
def test_each_rank_of_torchrun_does_not_run_a_search_of_its_own(
    rank: str, size: str, code: int, workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    ended = command("tune", *own_function(workplace), "budget=1")
    assert ended.code == code
    assert ("torchrun" in ended.err) == bool(code)
    assert (workplace / "studies").exists() == (code == 0)


def test_late_reports_and_trial_pruned_end_no_search(workplace: Path, command: Command) -> None:
    late = around(workplace, "late", (
        "    threading.Thread(target=lambda: (time.sleep(0.3), kw['report'](1, 1.0))).start()\n    return hill(**kw)\n"
    ))  # fmt: skip
    assert command("tune", *own_function(workplace), late, "budget=3", "study=late").code == 0
    pruned = around(workplace, "pruned", "    kw['report'](3, 1.0)\n    raise optuna.TrialPruned\n")
    assert command("tune", *own_function(workplace), pruned, "budget=2", "study=pruned").code == 0
    assert "pruned" in command("status", "study=pruned").out


def test_a_corrected_function_may_use_the_study_and_change_directory(workplace: Path, command: Command) -> None:
    assert command("tune", *own_function(workplace), around(workplace, "bad", "    return 'good'\n")).code == 2
    body = "    value = hill(**kw)\n    os.makedirs('deep', exist_ok=True)\n    os.chdir('deep')\n    return value\n"
    assert command("tune", *own_function(workplace), around(workplace, "wanders", body), "budget=3").code == 0
    assert (workplace / "studies/callable-myrtle/best.yaml").is_file()


def test_workers_share_one_search_and_end_with_the_command(workplace: Path, command: Command) -> None:
    change_function(
        workplace,
        '    pathlib.Path(f"process-{os.getpid()}").touch()\n'
        '    while len(list(pathlib.Path().glob("process-*"))) < 3:\n        time.sleep(0.02)',
    )
    words = [*told_nothing(workplace), "workers=3", "confirm=4", "budget=12"]
    process = spawn("flatdirs", "tune", *words, cwd=workplace)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "of 12" in out
    made = set(calls(workplace))
    race = {line for line in made if int(line.split()[-1]) >= 1000}
    assert 12 <= len(made) - len(race) <= 12 + 2  # two may ask at once
    assert {line.split()[-1] for line in race} == {"1000", "1001", "1002", "1003"}, "one of them decides, once"
    assert "handed over: the " in out
    assert "nothing is running" in command("status").out


def test_workers_die_with_a_killed_command(workplace: Path) -> None:
    change_function(workplace, "    time.sleep(0.3)")
    words = [*own_function(workplace), "workers=2", "search=random", "budget=1000"]
    process = spawn("flatdirs", "tune", *words, cwd=workplace)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((workplace / "calls.txt").exists() and len(calls(workplace)) > 4):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    time.sleep(1.5)
    made = len(calls(workplace))
    time.sleep(1.5)
    assert len(calls(workplace)) == made


@pytest.mark.parametrize("lines", [1, 3])
def test_a_reader_that_closes_the_pipe_ends_the_command_and_loses_no_run(lines: int, workplace: Path) -> None:
    change_function(workplace, "    time.sleep(0.5)\n    report(1, 50.0)")
    words = ["flatdirs", "tune", *own_function(workplace), "budget=3"]
    process = spawn(*words, cwd=workplace)
    assert process.stdout
    assert process.stderr
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    again = spawn(*words, cwd=workplace)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert len(calls(workplace)) == len(set(calls(workplace))) == 3


def test_a_study_keeps_its_curves_and_its_winner_is_reproduced(workplace: Path, command: Command) -> None:
    from flatdirs.backend.storages import open_storage
    from flatdirs.backend.study import read_study

    settings = ["task.epochs=2", "task.train_images=200", "task.name=Mäuse & 'Katzen'", "precision=fp32", "seed=3"]
    limits = ["budget=2", "confirm=0", "start=myrtle", "storage=sqlite"]
    process = spawn("flatdirs.tune", *settings, *limits, cwd=workplace)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert {path.name for path in workplace.iterdir() if path.is_dir()} <= {"studies", "__pycache__"}
    name = "Mäuse & 'Katzen'-flatdirs"
    study, identity = read_study(open_storage("sqlite", workplace / "studies" / name), name)
    attributes = study.trials[0].user_attrs
    assert identity["task"]["epochs"] == 2
    (curve,) = [kept for key, kept in attributes.items() if key.endswith("curve")]
    assert [epoch["number"] for epoch in curve] == [1, 2]
    assert {"train_loss", "loss", "accuracy", "seconds"} <= set(curve[0])
    assert study.trials[0].value == curve[-1]["accuracy"]
    found = re.search(r"best: run \d of 2, ([\d.]+)%", out)
    assert found
    ended = command("train", "--config-file", f"studies/{name}/best.yaml", "save=model.pt")
    assert f"accuracy {found.group(1)}%" in ended.out
    assert (workplace / "model.pt").stat().st_size > 1000


def test_a_study_knows_its_images(workplace: Path, command: Command) -> None:
    pack = unpacked(train=1200, test=200)
    words = ["task=cifar10_small", *SMALL, "live=false", "start=typical"]
    ended = command("tune", *words, f"data.path={pack}", "budget=2", "confirm=4")
    assert ended.code == 0
    assert "confirmed on test images" in ended.out
    (workplace / "moved.npz").write_bytes(Path(pack).read_bytes())
    assert command("tune", *words, "data.path=moved.npz", "budget=2", "confirm=0").code == 0
    with np.load(pack) as arrays:
        np.savez("other.npz", **{**arrays, "x_train": 255 - arrays["x_train"]})
    ended = command("tune", *words, "data.path=other.npz", "budget=3", "confirm=0")
    assert ended.code == 2
    assert "data.path" in ended.err


def test_batch_sizes_stay_within_the_data(workplace: Path, command: Command) -> None:
    short = ["chart=sgd_batch", "task.epochs=1", "task.width=2", "confirm=0", "live=false"]
    fixed = ["search=myrtle", "start=typical", "start.batch_size=150", "fixed=[momentum,wd]", "budget=30"]
    for words in (fixed, ["search=random", "budget=6"]):
        ended = command("tune", *short, *words)
        assert ended.code == 0, ended.err
        sizes = {int(found) for found in re.findall(r"batch_size=(\d+)", ended.out)}
        assert len(sizes) > 1
        assert 2 <= min(sizes) <= max(sizes) <= 300
    best = yaml.safe_load((workplace / "studies/digits-myrtle/best.yaml").read_text(encoding="utf-8"))
    assert isinstance(best["batch_size"], int)
    assert math.isfinite(best["lr"])
