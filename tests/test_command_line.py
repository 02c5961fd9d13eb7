"""The commands as a user types them: overrides, help, what is printed, and the sentence for every mistake."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from flatdirs.config.tune import ALL_SCHEDULES
from flatdirs.objectives.image import ImageObjective
from flatdirs.resources import conf_folder
from flatdirs.space.library import read_chart
from flatdirs.training.optimizer import OPTIMIZERS
from flatdirs.training.task import DataConfig, ImageTask
from tests.cifar10_pack import unpacked
from tests.conftest import Ended, calls, module_of, own_function, spawn, told_nothing

Command = Callable[..., Ended]
TASK = ImageTask(**yaml.safe_load((conf_folder() / "task" / "digits.yaml").read_text(encoding="utf-8")))
pytestmark = pytest.mark.slow  # every test runs a whole command


def test_help_lists_every_group_and_key_without_torch() -> None:
    probe = (
        "import sys; sys.argv=['tune','--help']\n"
        "from flatdirs.tune import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules and 'optuna' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    for word in ("task=", "cifar10_small", "search=", "myrtle", "storage=", "budget:", "start.lr:", "box."):
        assert word in done.stdout


@pytest.mark.parametrize("name", ["tune", "train", "status", "slices", "find_lr", "analyze"])
def test_every_key_in_conf_has_a_line_of_help(name: str, command: Command) -> None:
    own = (conf_folder() / f"{name}.yaml").read_text(encoding="utf-8").split("\nhydra:")[0]
    text = command(name, "--help").out
    keys = [key for key in yaml.safe_load(own) if key != "defaults"]
    assert keys
    for key in keys:
        assert re.search(rf"^  {key}[.:].* {{2,}}\S+", text, re.MULTILINE), key


@pytest.mark.parametrize(
    "file", sorted(conf_folder().glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_every_key_of_an_option_has_a_line_of_help(file: Path, command: Command) -> None:
    name = "tune" if f"- {file.parent.name}: " in (conf_folder() / "tune.yaml").read_text() else "status"
    text = command(name, f"{file.parent.name}={file.stem}", "--help").out
    for key in yaml.safe_load(file.read_text(encoding="utf-8")):
        assert re.search(rf"^  {file.parent.name}\.{key}[.:].* {{2,}}\S+", text, re.MULTILINE), key


def test_help_shows_the_keys_of_the_chosen_option(command: Command) -> None:
    assert "task.function" in command("tune", "task=callable", "--help").out
    assert "task.function" not in command("tune", "--help").out


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ALL_SCHEDULES)
def test_a_chart_that_nobody_chose_suits_optimizer_and_schedule(
    schedule: str, optimizer: str, workplace: Path, command: Command
) -> None:
    ended = command("tune", f"schedule={schedule}", f"optimizer={optimizer}", "--cfg", "job", "--package", "chart")
    assert ended.code == 0, ended.err
    chart = read_chart(yaml.safe_load(ended.out))
    wanted = ImageObjective(TASK, DataConfig(), schedule=ALL_SCHEDULES[schedule](), optimizer=OPTIMIZERS[optimizer]())
    wanted.check(chart.hyperparameters)
    helped = command("tune", f"schedule={schedule}", f"optimizer={optimizer}", "--help").out
    assert f"chart.name: {chart.name} " in helped


def test_a_chosen_chart_rules_and_the_usual_one_may_be_adjusted(workplace: Path, command: Command) -> None:
    words = ["--cfg", "job", "--package", "chart", "optimizer=adamw"]
    assert "name: sgd_plain" in command("tune", *words, "chart=sgd_plain").out
    adjusted = command("tune", *words, "chart.step=1.4142").out
    assert "name: adamw" in adjusted
    assert "step: 1.4142" in adjusted


def test_a_search_prints_a_line_a_run_and_the_closing_table(workplace: Path, command: Command) -> None:
    ended = command("tune", *own_function(workplace))
    assert ended.code == 0
    lines = [line for line in ended.out.splitlines() if line.startswith("run ")]
    assert lines[0].split()[:3] == ["run", "1", "start"]
    assert len([line for line in lines if "recalled" not in line]) == len(calls(workplace))
    assert "where each axis ended" in ended.out
    assert "best: run" in ended.out
    assert "the search is over" in ended.out
    best = yaml.safe_load((workplace / "studies/callable-myrtle/best.yaml").read_text(encoding="utf-8"))
    assert best["momentum"] == 0.75
    assert best["wd"] == 0.00125
    assert best["lr"] * best["wd"] / 0.25 == pytest.approx(0.00256)


def test_a_winner_is_a_start(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace))
    before = len(calls(workplace))
    ended = command(
        "tune", *own_function(workplace), "start=studies/callable-myrtle/best.yaml", "study=again", "budget=60"
    )
    assert ended.code == 0
    assert len(calls(workplace)) - before == 7  # the start and both neighbours on three axes
    assert "lr·wd/(1−momentum)=0.00256" in ended.out.splitlines()[2]


def test_a_start_file_may_be_written_by_hand(workplace: Path, command: Command) -> None:
    (workplace / "mine.yaml").write_text("lr: 1e-3\nmomentum: 0\n")
    command("tune", *own_function(workplace), "start=mine.yaml", "budget=1")
    assert calls(workplace) == ["0.001 0.0 0.01 0"]


def test_minutes_leave_room_for_the_confirmation(workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_slow"
    (workplace / f"{name}.py").write_text(
        f"import time\nfrom {module_of(workplace)} import train as hill\n"
        "def train(**kw):\n    time.sleep(0.3)\n    return hill(**kw)\n"
    )
    ended = command("tune", *own_function(workplace), f"task.function={name}:train", "minutes=0.1", "confirm=2")
    assert "another run would not end within minutes=0.1" in ended.out
    seeds = [line.split()[-1] for line in calls(workplace)]
    assert 2 <= seeds.count("0") <= 20
    fresh = [seed for seed in seeds if seed != "0"]
    assert seeds[-len(fresh) :] == fresh == ["1000", "1001", "1000", "1001"][: len(fresh)]
    assert len(fresh) >= 2, "room was left, to within the time that single runs differ by"


def test_status_reads_a_study_from_elsewhere(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=4")
    ended = command("status")
    assert ended.code == 0
    assert "callable-myrtle" in ended.out
    assert "nothing is running" in ended.out
    assert ended.out.count(" s  better  why: ") == 3
    assert command("status", "study=nowhere").code == 2


@pytest.mark.parametrize("search", ["flatdirs", "myrtle"])
def test_minimize_and_maximize_mirror_each_other(search: str, workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_loss"
    (workplace / f"{name}.py").write_text(
        f"from {module_of(workplace)} import train as hill\ndef train(**kw): return -hill(**kw)\n", encoding="utf-8"
    )
    command("tune", *own_function(workplace), f"search={search}")
    climbed = calls(workplace)
    (workplace / "calls.txt").unlink()
    other = [
        "task=callable",
        f"task.function={name}:train",
        "confirm=0",
        "live=false",
        "direction=minimize",
        "start=source",
        f"search={search}",
        "study=down",
    ]
    assert command("tune", *other).code == 0
    assert calls(workplace) == climbed


def test_a_search_told_nothing_is_near_the_top_within_its_budget(workplace: Path, command: Command) -> None:
    ended = command("tune", *told_nothing(workplace))
    assert ended.code == 0, ended.err
    assert "study callable-flatdirs in studies/callable-flatdirs: search flatdirs from lr=0.1" in ended.out
    assert "the budget of 25 runs is used up" in ended.out
    assert len(calls(workplace)) == len(set(calls(workplace))) == 25, "a repeat has a seed of its own"
    repeated = [line.rsplit(" ", 1) for line in calls(workplace)]
    for point in {point for point, _ in repeated}:
        seeds = [int(seed) for other, seed in repeated if other == point]
        assert seeds == list(range(len(seeds)))
    found = re.search(r"best: run \d+ of 25, ([\d.]+)", ended.out)
    assert found
    assert float(found.group(1)) > 93.06
    status = command("status")
    assert status.code == 0
    assert "best: run" in status.out
    assert all(re.search(rf"^(run)? *{run}  ", status.out, re.MULTILINE) for run in range(1, 26))


def test_repeats_of_several_seeds_share_none(workplace: Path, command: Command) -> None:
    command("tune", *told_nothing(workplace), "repeats=2", "seed=5", "chart.bounds.lr=[0.09,0.11]")
    repeated = [line.rsplit(" ", 1) for line in calls(workplace)]
    assert len(repeated) == 50
    for point in {point for point, _ in repeated}:
        seeds = [int(seed) for other, seed in repeated if other == point]
        assert seeds == list(range(5, 5 + len(seeds)))


def test_two_workers_share_a_search_told_nothing(workplace: Path, command: Command) -> None:
    process = spawn("flatdirs.tune", *told_nothing(workplace), "workers=2", "budget=15", cwd=workplace)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "best: run" in out
    assert 15 <= len(calls(workplace)) <= 16
    assert len(set(calls(workplace))) == len(calls(workplace))
    status = command("status")
    assert status.code == 0
    assert "callable-flatdirs" in status.out
    assert "nothing is running" in status.out


def test_a_study_of_the_source_from_before_moves_had_parts_goes_on(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=3")
    journal = workplace / "studies/callable-myrtle/journal.log"
    assert '"parts"' not in journal.read_text(encoding="utf-8"), "as earlier versions wrote it"
    assert command("tune", *own_function(workplace), "budget=4").code == 0
    assert command("status").code == 0
    assert len(calls(workplace)) == 4


def test_target_stops_at_the_first_run_that_reaches_it(workplace: Path, command: Command) -> None:
    ended = command("tune", *own_function(workplace), "target=80")
    assert "the target of 80 is reached" in ended.out
    assert len(calls(workplace)) < 10


def test_confirm_uses_fresh_seeds_for_winner_and_start_once(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace))
    before = len(calls(workplace))
    ended = command("tune", *own_function(workplace), "confirm=2")
    fresh = calls(workplace)[before:]
    assert [line.split()[-1] for line in fresh] == ["1000", "1001", "1000", "1001"]
    assert "confirmed on fresh seeds, 2 seeds: winner" in ended.out
    assert "start" in ended.out
    command("tune", *own_function(workplace), "confirm=2")
    assert len(calls(workplace)) == before + 4


def test_a_fixed_hyperparameter_never_moves(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "fixed=[momentum]")
    assert {line.split()[1] for line in calls(workplace)} == {"0.5"}
    assert len({line.split()[2] for line in calls(workplace)}) > 2


def test_raw_walks_the_bare_hyperparameters(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "search=raw")
    rows = [tuple(map(float, line.split()[:3])) for line in calls(workplace)]
    changed = [sum(a != b for a, b in zip(row, rows[0], strict=True)) for row in rows[1:3]]
    assert changed == [1, 1]
    assert any(row[0] == rows[i][0] and row[2] != rows[i][2] for i, row in enumerate(rows[1:]))


@pytest.mark.parametrize("search", ["random", "qmc", "tpe", "cmaes", pytest.param("gp", marks=pytest.mark.slow)])
def test_optunas_searches_run_through_the_same_study(search: str, workplace: Path, command: Command) -> None:
    budget = 12 if search == "gp" else 14
    ended = command("tune", *own_function(workplace), f"search={search}", f"budget={budget}")
    assert ended.code == 0
    assert len(calls(workplace)) == budget
    assert len(set(calls(workplace))) == budget
    rates = [float(line.split()[0]) for line in calls(workplace)]
    assert all(1e-4 <= rate <= 10 for rate in rates)
    assert "best: run" in ended.out


@pytest.mark.parametrize("search", ["random", "qmc", "myrtle", "flatdirs"])
def test_a_search_cut_in_two_is_the_same_search(search: str, workplace: Path, command: Command) -> None:
    whole = [*own_function(workplace), f"search={search}", "budget=12"]
    command("tune", *whole)
    expected = calls(workplace)
    (workplace / "calls.txt").unlink()
    for budget in (3, 4, 12):
        command("tune", *whole, f"budget={budget}", "study=parts")
    assert calls(workplace) == expected


@pytest.mark.parametrize("storage", ["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_storages_keep_setting_curve_and_provenance(storage: str, workplace: Path, command: Command) -> None:
    command("tune", "start=source", "budget=1", "task.epochs=2", "confirm=0", f"storage={storage}", "live=false")
    from flatdirs.backend.storages import open_storage
    from flatdirs.backend.study import read_study

    study, identity = read_study(open_storage(storage, workplace / "studies/digits-flatdirs"), "digits-flatdirs")
    attributes = study.trials[0].user_attrs
    assert identity["task"]["epochs"] == 2
    assert attributes["setting"]["hyperparameters"] == {"lr": 0.001, "momentum": 0.5, "wd": 0.01}
    assert attributes["setting"]["coordinates"]["lr·wd/(1−momentum)"] == pytest.approx(2e-5)
    assert [epoch["number"] for epoch in attributes["curve"]] == [1, 2]
    assert {"train_loss", "loss", "accuracy", "seconds"} <= set(attributes["curve"][0])
    assert {"seconds", "seeds", "device", "torch", "git"} <= set(attributes["provenance"])
    assert study.trials[0].value == attributes["curve"][-1]["accuracy"]


def test_train_prints_its_curve_and_saves(workplace: Path, command: Command) -> None:
    ended = command("train", "task.epochs=2", "lr=0.1", "save=model.pt")
    assert ended.code == 0
    assert "accuracy" in ended.out
    assert (workplace / "model.pt").stat().st_size > 1000


@pytest.mark.usefixtures("workplace")
def test_best_yaml_trains_to_the_same_accuracy(command: Command) -> None:
    command("tune", "budget=3", "task.epochs=3", "confirm=0", "live=false", "threads=1")
    found = re.search(r"best: run \d of 3, ([\d.]+)%", command("status").out)
    ended = command("train", "--config-file", "studies/digits-flatdirs/best.yaml", "threads=1")
    assert found
    assert f"accuracy {found.group(1)}%" in ended.out


WRONG = {
    "momentum 1.2": (["start.momentum=1.2"], "start.momentum"),
    "negative rate": (["start.lr=-1"], "start.lr"),
    "misspelt key": (["start.lerning_rate=1"], "start.lr"),
    "misspelt group": (["tsak=digits"], "task"),
    "unknown task": (["task=mnist"], "task=mnist"),
    "unknown search": (["search=grid"], "search=grid"),
    "budget 0": (["budget=0"], "budget"),
    "budget in words": (["budget=many"], "budget"),
    "target in words": (["target=high"], "target"),
    "target as a fraction": (["target=0.94"], "target=94"),
    "target beyond 100": (["target=940"], "target"),
    "minutes too short": (["minutes=0.0001"], "minutes"),
    "negative seed": (["seed=-1"], "seed"),
    "epochs 0": (["task.epochs=0"], "task.epochs"),
    "fixed unknown": (["fixed=[nesterov]"], "fixed"),
    "fixed everything": (["fixed=[lr,momentum,wd]"], "fixed"),
    "step 1": (["chart.step=1"], "chart.step"),
    "a box upside down": (["search=random", "box.lr=[1,0.1]"], "box.lr"),
    "no such start file": (["start=nowhere.yaml"], "start"),
    "a start file in words": (["start=words.yaml"], "start.lr"),
    "a start file of something else": (["start=other.yaml"], "start"),
    "broken start file": (["start=broken.yaml"], "start"),
    "no such data": (["task=cifar10_small", "data.path=nowhere.npz"], "data.path"),
    "url without address": (["storage=url"], "storage.url"),
    "url to nowhere": (["storage=url", "storage.url=sqlite:////nowhere/x.db"], "storage.url"),
    "no such module": (["task=callable", "task.function=nowhere:train"], "task.function"),
    "no such function": (["task=callable", "task.function=wrong:nothing"], "task.function"),
    "no function named": (["task=callable"], "task.function"),
    "a module that breaks": (["task=callable", "task.function=breaking:train"], "task.function"),
    "a built-in function": (["task=callable", "task.function=math:hypot"], "task.function"),
    "a function returning an array": (["task=callable", "task.function=wrong:array"], "task.function"),
    "live in words": (["live=nonsense"], "live"),
    "no such kind of storage": (["storage.kind=tape"], "storage.kind"),
    "no patience": (["storage.stale_minutes=0"], "storage.stale_minutes"),
    "a batch size nobody searches": (["start.batch_size=64"], "start.batch_size"),
    "a batch size in words": (["chart=sgd_batch", "start.batch_size=abc"], "start.batch_size"),
    "a list in a list": (["fixed=[[momentum]]"], "fixed"),
    "no start at all": (["start=null"], "start"),
    "no data block": (["data=null"], "data"),
    "a key taken out": (["~budget"], "budget"),
    "a seed beyond all": (["seed=99999999999999999999"], "seed"),
    "threads beyond all": (["threads=1000000000"], "threads"),
    "no box": (["search=random", "box=null"], "box"),
    "a function that exits": (["task=callable", "task.function=wrong:leave"], "task.function"),
    "a function that reports words": (["task=callable", "task.function=wrong:words"], "report"),
    "a key made up": (["+budgit=3"], "budgit"),
    "a start beyond floats": (["start.wd=1e-40"], "start.wd"),
    "a winner's file where a start belongs": (["--config-file", "other.yaml"], "start="),
    "a function returning text": (["task=callable", "task.function=wrong:text"], "task.function"),
    "a function without momentum": (["task=callable", "task.function=wrong:narrow"], "fixed"),
    "a module that does not parse": (["task=callable", "task.function=unparsed:train"], "task.function"),
    "minimised accuracy": (["direction=minimize"], "direction"),
    "no cuda": (["device=cuda:9"], "device"),
    "chart the trainer has not": (["chart=adamw"], "chart"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_gets_one_sentence_that_names_the_key(case: str, workplace: Path, command: Command) -> None:
    (workplace / "wrong.py").write_text(
        "def text(lr, momentum, wd): return 'good'\n"
        "def narrow(lr, wd): return 1\n"
        "def leave(lr, momentum, wd): raise SystemExit(0)\n"
        "def words(lr, momentum, wd, report): report('a', 'b')\n"
        "def array(lr, momentum, wd):\n    import numpy\n    return numpy.ones(2)\n"
    )
    (workplace / "breaking.py").write_text("raise ValueError('no model file')\n")
    (workplace / "unparsed.py").write_text("def train(:\n")
    (workplace / "words.yaml").write_text("lr: high\n")
    (workplace / "other.yaml").write_text("colour: red\n")
    (workplace / "broken.yaml").write_text("lr: [1\n")
    sys.modules.pop("wrong", None)
    arguments, key = WRONG[case]
    ended = command("tune", "live=false", *arguments)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("flatdirs: ")
    assert key in ended.err
    assert "Traceback" not in ended.err + ended.out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["start.momentum=0.9"], "start.momentum"),
        (["seed=1"], "seed"),
        (["search=raw"], "search"),
        (["search.min_gain=0.1"], "search.min_gain"),
        (["chart=sgd_plain"], "chart"),
        (["fixed=[momentum]"], "fixed"),
        (["repeats=2"], "repeats"),
        (["direction=minimize"], "direction"),
        (["task=digits"], "task"),
    ],
)
def test_another_search_on_the_same_name_is_refused(
    change: list[str], named: str, workplace: Path, command: Command
) -> None:
    command("tune", *own_function(workplace), "study=taken", "budget=2")
    if change == ["task=digits"]:
        ended = command("tune", "study=taken", "task=digits", "start=source", "confirm=0")
    else:
        ended = command("tune", *own_function(workplace), "study=taken", *change)
    assert ended.code == 2
    assert f"{named}=" in ended.err
    assert len(calls(workplace)) == 2


def test_limits_and_storage_options_may_change(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=2")
    changes = ["budget=4", "minutes=50", "target=99", "storage.stale_minutes=5"]
    assert command("tune", *own_function(workplace), *changes).code == 0
    assert len(calls(workplace)) == 4


def test_a_file_that_is_no_study_is_left_alone(workplace: Path, command: Command) -> None:
    for name, storage in (("journal.log", "journal"), ("study.db", "sqlite")):
        file = workplace / "studies/callable-myrtle" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("my diary, no newline at the end", encoding="utf-8")
        ended = command("tune", *own_function(workplace), f"storage={storage}")
        assert ended.code == 2
        assert str(file.name) in ended.err
        assert file.read_text(encoding="utf-8") == "my diary, no newline at the end"


def test_an_output_folder_that_cannot_be_written(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "taken").write_text("a file, not a folder")
    ended = command("tune", *own_function(workplace), "output=taken")
    assert ended.code == 2
    assert "change output" in ended.err

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "touch", refuse)  # root may write anywhere, so a read-only disk is played
    ended = command("tune", *own_function(workplace), "output=fine")
    assert ended.code == 2
    assert "Read-only file system" in ended.err


@pytest.mark.usefixtures("workplace")
def test_broken_npz_files(command: Command) -> None:
    images = np.zeros((30, 32, 32, 3), np.uint8)
    labels = np.arange(30) % 10
    np.savez("whole.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    Path("cut.npz").write_bytes(Path("whole.npz").read_bytes()[:20_000])
    np.savez("labels.npz", x_train=images, y_train=labels + 5, x_test=images, y_test=labels)
    np.savez("shape.npz", x_train=images[..., 0, :], y_train=labels, x_test=images, y_test=labels)
    small = np.zeros((30, 16, 16, 3), np.uint8)
    np.savez("mixed.npz", x_train=images, y_train=labels, x_test=small, y_test=labels)
    for name in ("cut", "labels", "shape", "whole", "mixed"):
        ended = command("tune", "task=cifar10_small", f"data.path={name}.npz", "live=false")
        assert ended.code == 2, name
        assert "data.path" in ended.err, name
        assert ended.err.count("\n") == 1


def test_a_user_exception_stops_the_search_and_loses_nothing(workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_bug"
    (workplace / f"{name}.py").write_text(
        f"from {module_of(workplace)} import train as hill\nimport os\n"
        "def train(**kw):\n    value = hill(**kw)\n"
        "    if kw['lr'] > 0.005 and not os.path.exists('mended'): raise RuntimeError('out of memory')\n"
        "    return value\n"
    )
    arguments = [*own_function(workplace), f"task.function={name}:train", "budget=6"]
    with pytest.raises(RuntimeError, match="out of memory"):
        command("tune", *arguments)
    assert len(calls(workplace)) == 4
    (workplace / "mended").touch()
    command("tune", *arguments)
    assert len(calls(workplace)) == 4 + 3
    assert calls(workplace)[3] == calls(workplace)[4]


def test_it_runs_as_a_module_from_any_folder(tmp_path: Path) -> None:
    process = spawn("flatdirs.tune", "budget=1", "task.epochs=1", "confirm=0", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == ""
    assert "run   1  start" in out
    assert {path.name for path in tmp_path.iterdir()} == {"studies"}


def test_tune_on_cifar10(workplace: Path, command: Command) -> None:
    path = unpacked(train=1200, test=200)
    sizes = ["task.train_images=800", "task.validation_images=400", "task.test_images=200", "task.epochs=1"]
    ended = command("tune", "task=cifar10_small", f"data.path={path}", *sizes, "budget=2", "confirm=1", "live=false")
    assert ended.code == 0
    assert "study cifar10_small-flatdirs" in ended.out
    assert "confirmed on test images, 1 seed: winner" in ended.out


def test_the_batch_size_is_a_coordinate_between_walls(workplace: Path, command: Command) -> None:
    ended = command(
        "tune",
        *("search=myrtle", "chart=sgd_batch", "start=typical", "start.batch_size=150", "fixed=[momentum,wd]"),
        *("task.epochs=1", "budget=30", "confirm=0", "live=false"),
    )
    assert ended.code == 0
    assert "the search is over" in ended.out
    sizes = {int(found) for found in re.findall(r"N=(\d+)", ended.out)}
    assert len(sizes) > 1, "the batch size is walked"
    assert max(sizes) <= 300, "there are no more training images"
    best = yaml.safe_load((workplace / "studies/digits-myrtle/best.yaml").read_text(encoding="utf-8"))
    assert isinstance(best["batch_size"], int)


def test_the_line_to_type_and_the_file_reproduce_the_winner(workplace: Path, command: Command) -> None:
    settings = ["task.epochs=2", "task.train_images=200", "task.name=mine", "precision=fp32", "seed=3"]
    ended = command("tune", *settings, "budget=3", "confirm=0", "live=false")
    found = re.search(r"best: run \d of 3, ([\d.]+)%", ended.out)
    assert found
    again = command("train", "--config-file", "studies/mine-flatdirs/best.yaml")
    assert f"accuracy {found.group(1)}%" in again.out
    settings.remove("task.name=mine")
    ended = command("tune", *settings, "budget=3", "confirm=0", "live=false")
    line = re.search(r"or: python -m flatdirs.train (.*)", ended.out)
    assert line
    assert f"accuracy {found.group(1)}%" in command("train", *shlex.split(line.group(1))).out


def test_other_images_are_another_study(workplace: Path, command: Command) -> None:
    def images(name: str, seed: int) -> str:
        random = np.random.default_rng(seed)
        pixels = random.integers(0, 255, (1300, 32, 32, 3), dtype=np.uint8)
        labels = np.arange(1300) % 10
        np.savez(name, x_train=pixels, y_train=labels, x_test=pixels[:200], y_test=labels[:200])
        return f"data.path={name}"

    sizes = ["task.train_images=800", "task.validation_images=400", "task.test_images=200", "task.epochs=1"]
    common = ["task=cifar10_small", *sizes, "confirm=0", "live=false"]
    assert command("tune", *common, images("one.npz", 0), "budget=1").code == 0
    Path("one.npz").rename("moved.npz")
    assert command("tune", *common, "data.path=moved.npz", "budget=1").code == 0
    ended = command("tune", *common, images("two.npz", 1), "budget=2")
    assert ended.code == 2
    assert "data.path" in ended.err


def test_another_kind_of_storage_does_not_start_over(workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=3")
    for other in ("sqlite", "memory"):
        ended = command("tune", *own_function(workplace), "budget=4", f"storage={other}")
        assert ended.code == 2
        assert "storage=journal" in ended.err
    assert len(calls(workplace)) == 3


@pytest.mark.parametrize(("text", "words"), [(b"axes: {", "mine.yaml in line"), (b"axes: \xff", "a file in ")])
def test_a_broken_chart_of_the_users_own_is_a_sentence(
    text: bytes, words: str, workplace: Path, command: Command
) -> None:
    (workplace / "chart").mkdir()
    (workplace / "chart" / "mine.yaml").write_bytes(text)
    done = command("tune", "--config-dir", str(workplace), "chart=mine", *own_function(workplace))
    assert done.code == 2
    assert words in done.err
    assert "--config-dir" in done.err
    assert done.err.count("\n") == 1


def test_diverged_runs_are_bad_news_to_optunas_searches(workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_nan"
    (workplace / f"{name}.py").write_text(
        f"import math\nfrom {module_of(workplace)} import train as hill\n"
        "def train(**kw):\n    value = hill(**kw)\n    return value if kw['lr'] < 0.1 else math.nan\n"
    )
    command("tune", *own_function(workplace), f"task.function={name}:train", "search=tpe", "budget=30")
    late = [float(line.split()[0]) for line in calls(workplace)[10:]]
    assert sum(rate >= 0.1 for rate in late) < len(late) / 2


def test_errors_of_the_users_files_are_the_users(workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_files"
    (workplace / f"{name}.py").write_text(
        "def train(**kw): raise PermissionError(13, 'Permission denied', 'images.bin')\n"
    )
    with pytest.raises(RuntimeError, match=r"images\.bin"):
        command("tune", *own_function(workplace), f"task.function={name}:train")


def test_a_function_may_change_directory(workplace: Path, command: Command) -> None:
    name = f"{module_of(workplace)}_wanders"
    (workplace / f"{name}.py").write_text(
        f"import os\nfrom {module_of(workplace)} import train as hill\n"
        "def train(**kw):\n    value = hill(**kw)\n"
        "    os.makedirs('deep', exist_ok=True)\n    os.chdir('deep')\n    return value\n"
    )
    assert command("tune", *own_function(workplace), f"task.function={name}:train", "budget=3").code == 0
    assert (workplace / "studies/callable-myrtle/best.yaml").is_file()


def test_a_box_is_told_to_be_of_no_use_where_the_search_walks(workplace: Path, command: Command) -> None:
    done = command("tune", *own_function(workplace), "box.lr=[0.05,0.06]", "budget=1")
    assert "has no use for box.lr=[0.05,0.06]" in done.out + done.err
    assert "set chart.bounds.lr=[0.05,0.06]" in done.out + done.err
    done = command("tune", *own_function(workplace), "budget=1", "study=without")
    assert "no use for" not in done.out + done.err
    assert "the budget of 1 run is used up" in done.out


def test_a_mended_function_may_have_its_study(workplace: Path, command: Command) -> None:
    (workplace / f"{module_of(workplace)}_bad.py").write_text("def train(**kw): return 'good'\n")
    assert command("tune", *own_function(workplace), f"task.function={module_of(workplace)}_bad:train").code == 2
    assert command("tune", *own_function(workplace), "budget=2").code == 0
    assert len(calls(workplace)) == 2


def test_a_terminal_without_greek_is_no_obstacle(workplace: Path) -> None:
    process = spawn("flatdirs.tune", *own_function(workplace), "budget=2", cwd=workplace, PYTHONIOENCODING="ascii")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "best: run" in out


def test_the_printed_commands_work(workplace: Path, command: Command) -> None:
    ended = command("tune", *own_function(workplace), "budget=3")
    line = re.search(r"start from it: python -m flatdirs.tune (.*)", ended.out)
    assert line
    assert command("tune", *shlex.split(line.group(1)), "budget=1", "confirm=0").code == 0
    assert len(calls(workplace)) == 4


@pytest.mark.parametrize("lines", [1, 3])
def test_a_reader_that_has_seen_enough_ends_the_command_and_loses_nothing(lines: int, workplace: Path) -> None:
    module = workplace / f"{module_of(workplace)}.py"
    slow = "    time.sleep(0.5)\n    report(1, 50.0)"
    module.write_text(module.read_text(encoding="utf-8").replace("    report(1, 50.0)", slow), "utf-8")
    told = [*own_function(workplace), "budget=3"]
    process = spawn("flatdirs.tune", *told, cwd=workplace)
    assert process.stdout
    assert process.stderr
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
    again = spawn("flatdirs.tune", *told, cwd=workplace)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert len(calls(workplace)) == len(set(calls(workplace))) == 3


def test_workers_share_one_study_and_end_with_the_command(workplace: Path) -> None:
    module = workplace / f"{module_of(workplace)}.py"
    meet = """
    pathlib.Path(f"process-{os.getpid()}").touch()
    while len(list(pathlib.Path().glob("process-*"))) < 3:
        time.sleep(0.02)
"""
    module.write_text(module.read_text(encoding="utf-8").replace("    report(1, 50.0)", meet), "utf-8")
    told = [*own_function(workplace), "workers=3", "confirm=1", "search=random", "budget=12"]
    worker = spawn("flatdirs.tune", *told, cwd=workplace)
    out, err = worker.communicate(timeout=120)
    assert worker.returncode == 0, err
    assert "of 12" in out
    assert "confirmed" in out
    assert 12 + 2 <= len(set(calls(workplace))) <= 12 + 2 + 2  # confirm=1: winner and start; two may ask at once


def test_helpers_die_with_a_killed_command(workplace: Path) -> None:
    module = workplace / f"{module_of(workplace)}.py"
    module.write_text(module.read_text(encoding="utf-8").replace("    report(1, 50.0)", "    time.sleep(0.3)"), "utf-8")
    command = spawn(
        "flatdirs.tune", *own_function(workplace), "workers=2", "search=random", "budget=1000", cwd=workplace
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((workplace / "calls.txt").exists() and len(calls(workplace)) > 4):
        time.sleep(0.05)
    command.kill()
    command.communicate()
    time.sleep(1.5)
    made = len(calls(workplace))
    time.sleep(1.5)
    assert len(calls(workplace)) == made


def test_workers_need_a_storage_they_can_share(workplace: Path, command: Command) -> None:
    for storage in ("memory", "sqlite"):
        ended = command("tune", *own_function(workplace), "workers=2", f"storage={storage}")
        assert ended.code == 2
        assert f"workers=2 cannot share storage={storage}; set storage=journal or workers=1" in ended.err
    for count, words in ((0, "workers=0 must be 1 or more"), (10**6, "workers=1000000 must be at most 256")):
        assert words in command("tune", *own_function(workplace), f"workers={count}").err


def test_a_box_of_batch_sizes_ends_where_the_data_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["chart=sgd_batch", "search=random", "task.epochs=1", "confirm=0", "live=false"]
    ended = command("tune", *short, "budget=6", "task.width=2")
    assert ended.code == 0, ended.err
    assert command("tune", *short, "box.batch_size=[301,400]", "study=none").code == 2


def test_momentum_of_the_other_optimizer_is_refused(command: Command) -> None:
    for words in (["optimizer=adamw", "momentum=0.9"], ["optimizer=sgd", "beta1=0.9"]):
        ended = command("train", *words)
        assert ended.code == 2
        assert words[1].split("=")[0] in ended.err
