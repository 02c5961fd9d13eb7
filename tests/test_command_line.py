"""The front end of the commands: help, words, the composed configuration, and one sentence for every mistake."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from flatdirs.cli import keys, run_command
from flatdirs.cli.arguments import read_words
from flatdirs.cli.compose import compose
from flatdirs.cli.help import command_help, program_help
from flatdirs.cli.main import main
from flatdirs.config.slices import read_slices
from flatdirs.config.tune import ALL_SCHEDULES, read_tune
from flatdirs.config.without_effect import refuse_without_effect
from flatdirs.errors import ConfigError
from flatdirs.objectives.image import ImageObjective
from flatdirs.resources import PATHS, VERBATIM, conf_folder
from flatdirs.space.shipped_charts import read_chart
from flatdirs.training.optimizer import OPTIMIZERS
from flatdirs.training.task import DataConfig, ImageTask
from tests.conftest import Ended, calls, composed, module_of, own_function, spawn
from tests.refused import refused as wrong_setting

Command = Callable[..., Ended]
ODD = [
    "läufe",
    "run=1",
    "run (1)",
    "a,b",
    "1e3",
    "1_000",
    "true",
    "${x}",
    "${",
    "#1",
    "{a}",
    "it's",
    '"q"',
    "a\\",
    "[",
    "?",
]


def refused(command: str, *words: str) -> str:
    """The key of the error that these words get."""
    with pytest.raises(ConfigError) as error:
        composed(command, *words)
    return error.value.key


def exit_of(capsys: pytest.CaptureFixture[str], *words: str) -> Ended:
    """`flatdirs …` in this process."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert isinstance(end.value.code, int)
    return Ended(end.value.code, *capsys.readouterr())


def test_one_command_with_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(f"\n  {command} " in program_help() for command in keys.COMMANDS)
    assert exit_of(capsys).out == exit_of(capsys, "--help").out == program_help()
    assert exit_of(capsys, "--version").out.startswith("flatdirs 0.")
    assert exit_of(capsys, "find-lr", "--help").out.startswith("flatdirs find-lr: ")
    for wrong, near in (("tun", "tune"), ("find_lr", "find-lr"), ("analyse", "analyze"), ("x", "slices")):
        ended = exit_of(capsys, wrong)
        assert ended.code == 2
        assert near in ended.err
    assert exit_of(capsys, "tune", "budget=0").code == 2


@pytest.mark.parametrize("program", ["flatdirs", "flatdirs.tune", "flatdirs.slices"])
def test_help_imports_nothing_heavy(program: str) -> None:
    probe = f"""
import runpy, sys
sys.argv = ["x", "--help"]
try: runpy.run_module({program!r}, run_name="__main__")
except SystemExit as end: assert not end.code
print({{"hydra", "omegaconf", "optuna", "numpy", "torch", "yaml"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("command", keys.COMMANDS)
def test_help_has_a_line_for_every_key(command: str) -> None:
    for group in keys.groups(command):
        for option in keys.options(group, command):
            shown = command_help(command, [f"{group}={option}"])
            lines = {line.strip().partition(":")[0]: line for line in shown.splitlines()}
            chosen = yaml.safe_load((conf_folder() / group / f"{option}.yaml").read_text(encoding="utf-8"))
            assert all("  " in lines[f"{group}.{key}"].strip() for key in chosen), (group, option)
    told = {key.name.partition(".")[0] for key in keys.keys(command)}
    assert told == {*keys.top_keys(command), *keys.groups(command)} - ({"fixed"} - told)
    assert f"usage: flatdirs {command}" in command_help(command, [])


@pytest.mark.slow
def test_a_chart_that_was_not_chosen_suits_optimizer_and_schedule() -> None:
    task = ImageTask(**composed("tune")["task"])
    for schedule, kind in ALL_SCHEDULES.items():
        for optimizer, rule in OPTIMIZERS.items():
            words = [f"schedule={schedule}", f"optimizer={optimizer}"]
            chart = read_chart(composed("tune", *words)["chart"])
            ImageObjective(task, DataConfig(), schedule=kind(), optimizer=rule()).check(chart.hyperparameters)
            assert f"chart.name: {chart.name} " in command_help("tune", words)
    adjusted = composed("tune", "optimizer=adamw", "chart.step=1.4142")["chart"]
    assert (adjusted["name"], adjusted["step"]) == ("adamw", 1.4142)
    assert composed("tune", "optimizer=adamw", "chart=sgd_plain")["chart"]["name"] == "sgd_plain"


def at(tree: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        tree = tree[part]
    return tree


@pytest.mark.slow
def test_values_of_the_users_own_are_taken_as_they_are() -> None:
    seen = set()
    tasks = [
        ("tune", {"task": "command"}),
        *((one, {"task": "callable"} if one == "tune" else {}) for one in keys.COMMANDS),
    ]
    for command, task in tasks:
        own = [key for key in VERBATIM if key in {one.name for one in keys.keys(command, task)}]
        words = [f"{group}={option}" for group, option in task.items()]
        for value in ODD if task else ["".join(ODD)]:
            found = composed(command, *words, *(f"{key}=a" for key in own), *(f"{key}={value}" for key in own))
            assert [at(found, key) for key in own] == [value] * len(own)
        seen |= set(own)
        for key in own:
            if key != "task.unit":
                assert refused(command, *words, f"{key}=") == key
            if key in PATHS:
                assert read_words(command, [f"{key}=~/x"]).values[key] == str(Path.home() / "x")
                assert refused(command, f"{key}=~nobody-of-this-name/x") == key
    assert seen == set(VERBATIM)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example("null")
def test_any_text_is_a_name_and_survives_the_words_for_helpers(text: str) -> None:
    words = read_words("tune", [f"study={text}", f"output=./{text}", "budget=3"])
    assert words.values == {"study": None if text == "null" else text, "output": f"./{text}"}
    assert read_words("tune", words.again()) == words


def test_a_bare_word_is_the_study_to_read() -> None:
    for command in ("status", "analyze"):
        assert composed(command, "null")["study"] == "null"
        assert composed(command, "a b", "output=x")["study"] == "a b"
        assert composed(command)["study"] is None
        assert refused(command, "one", "two") == "study"
    assert refused("tune", "word") == "word"


@pytest.mark.slow
def test_long_names_are_understood(tmp_path: Path) -> None:
    found = composed(
        "tune", "start.learning_rate=0.2", "box.weight_decay=[1e-5,1]", "box.one_minus_beta_1=[0.1,1]",
        "chart.bounds.learning_rate=[0.1,1]", "fixed=[weight_decay]",
    )  # fmt: skip
    assert (found["start"]["lr"], found["box"]["wd"], found["box"]["one_minus_beta1"]) == (0.2, [1e-5, 1], [0.1, 1])
    assert found["chart"]["bounds"]["lr"] == [0.1, 1]
    assert read_tune(found).plan.grid.chart.fixed == {"wd"}
    assert composed("train", "learning_rate=0.3")["lr"] == 0.3
    assert read_slices(composed("slices", "x=weight_decay", "y=learning_rate")).grid.x.name == "wd"
    file = tmp_path / "a b.yaml"
    file.write_text(
        "learning_rate: 1e-3\nweight_decay: ${learning_rate}\nmomentum: 0\ntask: {name: 'ü ${x}', epochs: 3}\n"
    )
    start = composed("tune", f"start={file}", "start.momentum=0.5")["start"]
    assert (start["lr"], start["wd"], start["momentum"]) == (0.001, 0.001, 0.5)
    train = composed("train", "lr=1", f"--config-file={file}", "wd=0.25")
    assert (train["lr"], train["wd"], train["task"]["name"], train["task"]["epochs"]) == (1, 0.25, "ü ${x}", 3)


def test_an_address_is_enough_to_store_there() -> None:
    for command in ("tune", "slices", "status", "analyze"):
        assert composed(command, "storage.url=sqlite:///x.db")["storage"]["kind"] == "url"
        assert composed(command, "storage.url=null")["storage"]["kind"] == "journal"


def test_a_working_directory_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert exit_of(capsys, "tune", "--", "true", "--lr", "1").code == 2


def test_an_address_and_a_command_in_the_wrong_place() -> None:
    assert refused("tune", "storage=postgresql://me@host/studies") == "storage"
    for words in (["python", "train.py"], ["train.py", "--lr=0.1"]):
        with pytest.raises(ConfigError, match="--, see flatdirs tune --help"):
            composed("tune", *words)


def test_options_of_the_users_own_in_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / "we ird ${x} {a}, é#'\"\\q=1"
    (folder / "chart").mkdir(parents=True)
    text = (conf_folder() / "chart/sgd.yaml").read_text(encoding="utf-8")
    (folder / "chart/mine.yaml").write_text(text.replace("lr", "learning_rate").replace("name: sgd", "name: mine"))
    chart = read_chart(composed("tune", "--config-dir", str(folder), "chart=mine")["chart"])
    assert (chart.name, chart.hyperparameters) == ("mine", ("lr", "momentum", "wd"))
    assert refused("tune", "--config-dir", str(folder / "nowhere"), "chart=mine") == "--config-dir"
    for broken in (b"axes: {", b"axes: \xff", b"step: 2\nstep: 4"):
        (folder / "chart/mine.yaml").write_bytes(broken)
        assert refused("tune", "--config-dir", str(folder), "chart=mine") == "--config-dir"


def test_the_configuration_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    ended = exit_of(capsys, "tune", "--cfg", "job", "task=callable", "output=läufe ${x}")
    shown = yaml.safe_load(ended.out)
    assert ended.code == 0
    assert (shown["output"], shown["task"]["function"], shown["box"]["lr"]) == ("läufe ${x}", "???", [1e-4, 10])


MISTAKES = {
    "--multirun": ["-m", "start.lr=0.1,0.2"],
    "--cfg": ["--cfg", "all"],
    "--info": ["--info"],
    "--config-file": ["--config-file", "x.yaml"],
    "start.lr": ["start.lr=0.1,0.2"],
    "start.wd": ["start.wd=(1)"],
    "start.momentum": ["start.momentum=${nothing}"],
    "tsak": ["tsak=digits"],
    "task": ["task=mnist"],
    "search": ["search=null"],
    "start": ["~start"],
    "budget": ["~budget"],
    "budgit": ["+budgit=3"],
    "hydra.run.dir": ["hydra.run.dir=x"],
    "save": ["save=model.pt"],
    "search.plateau_limit": ["search=tpe", "search.plateau_limit=3"],
    "search.min_gain": ["search.min_gain=0.1"],
    "schedule.warmup_epochs": ["schedule=greedy", "schedule.warmup_epochs=2"],
    "chart.bounds.lr": ["chart=greedy", "chart.bounds.lr=[0.1,1]"],
    "task.function": ["task=callable"],
    "data.path": ["data=null", "data.path=x"],
}


@pytest.mark.parametrize("key", MISTAKES)
def test_words_that_cannot_be_composed(key: str) -> None:
    assert refused("tune", *MISTAKES[key]) == key


CALLABLE = "tune task=callable task.function=mine:train "
IDLE = {
    **{CALLABLE + word: word.partition("=")[0] for word in (
        "device=cpu", "precision=fp8", "threads=2", "compile=true", "data.path=x.npz", "curvature.images=3",
        "curvature.every=5", "metric=loss", "schedule=cosine", "optimizer.nesterov=false", "clip_gradient=1",
    )},
    "slices task=callable task.function=mine:train threads=2": "threads",
    **{f"{command} data.path=nosuch.npz": "data.path" for command in ("tune", "train", "find-lr", "slices")},
    "tune start.sigma=0.5": "start.sigma",
    "tune start.beta1=0.8": "start.beta1",
    "tune chart=lr_only start.beta1=0.8": "start.beta1",
    "tune optimizer=adamw start.momentum=0.8": "start.momentum",
    "tune start.batch_size=8": "start.batch_size",
    "tune search=random chart.step=1.4142": "chart.step",
    "tune search=tpe start=auto": "start",
    "tune search=tpe until=converged": "until",
    f"{CALLABLE}until=converged deterministic=true": "until",
    "tune search=tpe start.lr=cdat": "start.lr",
    "tune storage=memory storage.url=sqlite:///x.db": "storage.url",
}  # fmt: skip
READ = ["train data.path=null", "tune search=tpe",
        "tune search=tpe start=myrtle start.lr=0.05", "tune chart=sgd_batch start.batch_size=8",
        "tune chart=lr_only start.momentum=0.8",
        "tune task=cifar10_small data.path=x.npz", "tune schedule=cdat start.sigma=0.5", "tune search=raw chart.step=4",
        CALLABLE, "status storage=sqlite storage.url=x.db"]  # fmt: skip


@pytest.mark.parametrize("line", [*IDLE, *READ])
def test_a_setting_that_nothing_reads_is_refused(line: str) -> None:
    command, *arguments = line.split()
    words = read_words(command, arguments)
    if line in READ:
        return refuse_without_effect(compose(command, words), words.again())
    with wrong_setting(ConfigError, IDLE[line]):
        refuse_without_effect(compose(command, words), words.again())
    return None


def test_commands_that_train_networks_take_no_function() -> None:
    for command in ("train", "find-lr"):
        for words in (["task=callable"], ["task=callable", "task.function=mine:train"]):
            assert refused(command, *words) == "task"
        assert "callable" not in command_help(command, [])
    assert "callable" in command_help("tune", [])


def test_a_misspelt_key_is_told_the_nearest(command: Command) -> None:
    for word, near in (("start.lerning_rate=1", "start.lr"), ("tsak=digits", "task"), ("bugdet=3", "budget")):
        assert near in command("tune", word).err
    assert command("tune", "output=\udcff").code == 2


WRONG = {
    "momentum 1.2": (["start.momentum=1.2"], "start.momentum"),
    "negative rate": (["start.lr=-1"], "start.lr"),
    "budget 0": (["budget=0"], "budget"),
    "budget in words": (["budget=many"], "budget"),
    "target as a fraction": (["target=0.94"], "target"),
    "target beyond 100": (["target=940"], "target"),
    "minutes too short": (["minutes=0.0001", "start=typical"], "minutes"),
    "negative seed": (["seed=-1"], "seed"),
    "a seed beyond all": (["seed=99999999999999999999"], "seed"),
    "threads beyond all": (["threads=1000000000"], "threads"),
    "workers beyond all": (["workers=1000000"], "workers"),
    "workers without a shared storage": (["workers=2", "storage=sqlite"], "workers"),
    "epochs 0": (["task.epochs=0"], "task.epochs"),
    "fixed unknown": (["fixed=[nesterov]"], "fixed"),
    "fixed everything": (["fixed=[lr,momentum,wd]"], "fixed"),
    "a list in a list": (["fixed=[[momentum]]"], "fixed"),
    "step 1": (["chart.step=1"], "chart.step"),
    "axes that are a number": (["chart.axes=3"], "chart.axes"),
    "an axis that is a number": (["chart.axes=[3]"], "chart.axes"),
    "no list of names": (["chart.one_minus=momentum"], "chart.one_minus"),
    "no axes": (["chart.axes=null"], "chart.axes"),
    "an axis of words": (["chart.axes=[{name:lr,exponents:{lr:x}}]"], "chart.axes"),
    "axes that repeat each other": (
        ["chart.axes=[{name:a,exponents:{lr:1}},{name:b,exponents:{lr:2}},{name:c,exponents:{wd:1}}]"],
        "chart.axes",
    ),
    "axes that hardly differ": (
        [
            "fixed=[momentum]",
            "chart.hyperparameters=[lr,wd]",
            "chart.bounds=null",
            "chart.one_minus=null",
            "chart.axes=[{name:a,exponents:{lr:1,wd:1}},{name:b,exponents:{lr:1,wd:0.999}}]",
        ],
        "chart.axes",
    ),
    "chart the trainer has not": (["chart=adamw"], "chart"),
    "a box upside down": (["search=random", "box.lr=[1,0.1]"], "box.lr"),
    "a box without room": (["search=random", "chart=sgd_batch", "box.batch_size=[301,400]"], "box.batch_size"),
    "no box": (["search=random", "box=null"], "box"),
    "no such start file": (["start=nowhere.yaml"], "start"),
    "a start file in words": (["start=words.yaml"], "start.lr"),
    "a start file of something else": (["start=other.yaml"], "start"),
    "broken start file": (["start=broken.yaml"], "start"),
    "a key twice": (["start=twice.yaml"], "lr twice"),
    "a start beyond floats": (["start.wd=1e-40"], "start.wd"),
    "no such data": (["task=cifar10_small", "data.path=nowhere.npz"], "data.path"),
    "data that are cut": (["task=cifar10_small", "data.path=cut.npz"], "data.path"),
    "no data block": (["data=null"], "data"),
    "url without address": (["storage=url"], "storage.url"),
    "url to nowhere": (["storage=url", "storage.url=sqlite:////nowhere/x.db"], "storage.url"),
    "no such kind of storage": (["storage.kind=tape"], "storage.kind"),
    "no patience": (["storage.stale_minutes=0"], "storage.stale_minutes"),
    "live in words": (["live=nonsense"], "live"),
    "minimised accuracy": (["direction=minimize"], "direction"),
    "no cuda": (["device=cuda:9"], "device"),
    "a batch size that is not searched": (["start.batch_size=64"], "start.batch_size"),
    "a batch size in words": (["chart=sgd_batch", "start.batch_size=abc"], "start.batch_size"),
    "no such module": (["task=callable", "task.function=nowhere:train"], "task.function"),
    "no such function": (["task=callable", "task.function=wrong:nothing"], "task.function"),
    "a module that breaks": (["task=callable", "task.function=breaking:train"], "task.function"),
    "a module that does not parse": (["task=callable", "task.function=unparsed:train"], "task.function"),
    "a built-in function": (["task=callable", "task.function=math:hypot"], "task.function"),
    "a function returning an array": (["task=callable", "task.function=wrong:array"], "task.function"),
    "a function returning text": (["task=callable", "task.function=wrong:text"], "task.function"),
    "a function that exits": (["task=callable", "task.function=wrong:leave"], "task.function"),
    "a function that reports words": (["task=callable", "task.function=wrong:words"], "report"),
    "a function without momentum": (["task=callable", "task.function=wrong:narrow", "chart=sgd"], "fixed"),
}


@pytest.fixture
def mistakes(workplace: Path) -> Path:
    """A folder of broken files and functions."""
    files = {
        "wrong.py": "def text(lr, momentum, wd): return 'good'\n"
        "def narrow(lr, wd): return 1\n"
        "def leave(lr, momentum, wd): raise SystemExit(0)\n"
        "def words(lr, momentum, wd, report): report('a', 'b')\n"
        "def array(lr, momentum, wd):\n    import numpy\n    return numpy.ones(2)\n",
        "breaking.py": "raise ValueError('no model file')\n",
        "unparsed.py": "def train(:\n",
        "words.yaml": "lr: high\n",
        "other.yaml": "colour: red\n",
        "broken.yaml": "lr: [1\n",
        "twice.yaml": "lr: 1\nlr: 2\n",
        "cut.npz": "PK",
    }
    for name, text in files.items():
        (workplace / name).write_text(text)
    sys.modules.pop("wrong", None)
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_gets_one_sentence_that_names_the_key(case: str, mistakes: Path, command: Command) -> None:
    words, key = WRONG[case]
    ended = command("tune", "live=false", *words)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("flatdirs: ")
    assert key in ended.err
    assert "Traceback" not in ended.err + ended.out


@pytest.mark.slow
def test_commands_without_a_search_refuse_too(mistakes: Path, command: Command) -> None:
    for name, words, key in (
        ("train", ["optimizer=adamw", "momentum=0.9"], "momentum"),
        ("train", ["optimizer=sgd", "beta1=0.9"], "beta1"),
        ("train", ["--config-file", "other.yaml"], "colour"),
        ("train", ["save=nowhere/model.pt"], "save"),
        ("find_lr", ["figure=curve.txt"], "figure"),
        ("slices", ["x=lr", "y=learning_rate"], "y"),
        ("status", ["nowhere"], "study"),
        ("status", ["storage=memory"], "storage"),
        ("analyze", ["storage.url=nowhere.log"], "storage.url"),
        ("analyze", [], "output"),
    ):
        ended = command(name, *words)
        assert ended.code == 2, (name, words)
        assert key in ended.err, (name, words)


def test_full_disks_and_closed_pipes_end_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def full(_: object, __: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "x.db")

    def stopped(_: object, __: object) -> int:
        raise KeyboardInterrupt

    for entry, code in ((full, 2), (stopped, 130)):
        with pytest.raises(SystemExit) as end:
            run_command.main("status", entry, [])
        assert end.value.code == code
    assert "x.db" in capsys.readouterr().err


HYDRA = """
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
import os, sys

def train(lr, momentum, wd):
    assert not GlobalHydra.instance().is_initialized() and "HYDRA_FULL_ERROR" not in os.environ
    assert sys.argv[1:] == {argv}
    with initialize_config_dir(version_base=None, config_dir=os.path.abspath("conf")):
        return compose("config", overrides=[f"lr={{lr}}"]).lr
"""


@pytest.mark.slow
def test_a_users_function_may_use_hydra_itself(workplace: Path) -> None:
    (workplace / "conf").mkdir()
    (workplace / "conf/config.yaml").write_text("lr: 0.1\n")
    words = ["tune", "task=callable", "task.function=mine:train", "budget=2", "confirm=0", "start=typical"]
    (workplace / "mine.py").write_text(HYDRA.format(argv=words))
    process = spawn("flatdirs", *words, cwd=workplace)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "best: run" in out


@pytest.mark.slow
def test_odd_names_are_found_again(workplace: Path, command: Command) -> None:
    for storage, value in (("journal", "läufe=1 (ü)"), ("journal", "1e3"), ("sqlite", "${x} #{a}? %41 it's")):
        output = f"output=o {value}"
        ended = command("tune", *own_function(workplace), "budget=1", f"storage={storage}", output, f"study={value}")
        assert ended.code == 0, ended.err
        assert (workplace / f"o {value}" / value / "best.yaml").is_file()
        for name in ("status", "analyze"):
            assert command(name, f"study={value}", output).code == 0, (name, value)
            assert command(name, output).code == 0, (name, value)
    file = "studies again/start 1.yaml"
    (workplace / "studies again").mkdir()
    (workplace / file).write_text("learning_rate: 0.5\n")
    assert command("tune", *own_function(workplace), "budget=1", f"start={file}").code == 0
    assert calls(workplace)[-1].split()[0] == "0.5"


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change."""
    found = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return {str(path): (one.st_size, one.st_mtime_ns) for path, one in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_reading_a_study_changes_nothing(storage: str, workplace: Path, command: Command) -> None:
    command("tune", *own_function(workplace), "budget=3", f"storage={storage}")
    folder = workplace / "studies/callable-myrtle"
    file = folder / ("journal.log" if storage == "journal" else "study.db")
    if storage == "journal":
        file.write_bytes(file.read_bytes() + b'{"op_code":4,"work')
        (folder / "journal.log.lock").touch()
    before = contents(workplace / "studies")
    for words in ([], ["callable-myrtle"], ["study=callable-myrtle"], [f"storage.url={file}"]):
        assert "best: run" in command("status", *words).out
        assert command("analyze", *words, "folder=out").code == 0
    assert contents(workplace / "studies") == before
    assert (workplace / "out/analysis.html").is_file()
    assert "callable-myrtle" in command("status", "callable-myrtel").err


def test_a_page_that_cannot_be_written_is_told(
    workplace: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("tune", *own_function(workplace), "budget=1")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere, so a read-only disk is simulated
    ended = command("analyze")
    assert ended.code == 2
    assert "folder" in ended.err
    assert "1 finished" in ended.out


@pytest.mark.slow
def test_a_terminal_without_unicode_is_no_obstacle(workplace: Path) -> None:
    process = spawn("flatdirs", "tune", *own_function(workplace), "budget=2", cwd=workplace, PYTHONIOENCODING="ascii")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "best: run" in out
    assert module_of(workplace) not in err
