"""`flatdirs carry-over` as a user types it: a file or a command in, a table and a new command out, and its check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from flatdirs.cli import carry_over
from flatdirs.config.tune import read_train
from flatdirs.errors import ConfigError, FlatdirsError, ObjectiveError
from flatdirs.tuning.carry_check import Checked, points_of
from tests.conftest import Ended, composed, module_of, printed_command
from tests.refused import refused
from tests.scripts import python, script

Command = Callable[..., Ended]
TRAINED = {
    "lr": 0.4,
    "momentum": 0.9,
    "wd": 1e-3,
    "task": {"name": "digits", "dataset": "digits", "epochs": 4, "width": 4},
    "seed": 3,
}
LINE = "python train.py --lr 0.1 --weight-decay 5e-4 --momentum 0.9 --batch-size 512 --epochs 30 --opt sgd"
WORDS = LINE.split()


@pytest.fixture(autouse=True)
def here(workplace: Path) -> Path:
    """An empty working directory with a function in it."""
    return workplace


def written(folder: Path, settings: object, name: str = "best.yaml") -> str:
    (folder / name).write_text(yaml.safe_dump(settings), encoding="utf-8")
    return name


def behind(ended: Ended, label: str) -> str:
    """The rest of the only line that begins so."""
    assert ended.code == 0, ended.err
    (found,) = [one.removeprefix(f"{label}: ") for one in ended.out.splitlines() if one.startswith(f"{label}: ")]
    return found


def test_the_file_of_a_study_of_the_trainer(here: Path, command: Command) -> None:
    ended = command("carry_over", written(here, TRAINED), "batch_size=64", "epochs=8")
    name, *words = printed_command(ended.out, "train with it")
    assert name == "train"
    old, new = read_train(composed("train", "--config-file", "best.yaml")), read_train(composed("train", *words))
    assert (new.images_per_step, new.task.epochs, new.seed, new.task.shape) == (64, 8, 3, old.task.shape)
    assert (new.lr, new.wd, new.momentum) == (1.6, 5e-4, 0.9), "lr linear at small batches, half as many steps"
    assert "0.4" in ended.out
    assert "https://myrtle.ai" in ended.out
    assert "or, by lr ∝ √batch size" in ended.out


def test_the_file_of_an_adamw_run_on_text(here: Path, command: Command) -> None:
    settings = {"lr": 1e-3, "beta1": 0.9, "wd": 0.1, "optimizer": {"name": "adamw", "beta2": 0.99}}
    file = written(here, {**settings, "task": {"name": "text", "context": 64}})
    ended = command("carry_over", file, "batch_size=32", "width=128", "examples=4096")
    new = read_train(composed("train", *printed_command(ended.out, "train with it")[1:]))
    assert new.images_per_step == 32
    assert (new.task.shape[1], new.training_images) == (128, 4096)
    assert new.lr == pytest.approx(1e-3 * 2**0.5 / 2, rel=1e-3)
    assert new.beta1 == 0.8
    assert new.optimizer.beta2 == pytest.approx(0.99**2, abs=1e-5)  # type: ignore[attr-defined]
    assert new.optimizer.epsilon == pytest.approx(1e-8 / 2**0.5, rel=1e-3)  # type: ignore[attr-defined]
    assert new.total_steps * new.lr * new.wd == pytest.approx(2048 // 16 * 3 * 1e-4, rel=2e-3)


def test_a_command_gets_its_new_numbers(command: Command) -> None:
    ended = command("carry_over", "batch_size=2048", "epochs=60", "--", *WORDS)
    again = "python train.py --lr 0.2 --weight-decay 5e-4 --momentum 0.9 --batch-size 2048 --epochs 60 --opt sgd"
    assert behind(ended, "run it") == again
    assert behind(command("carry_over", "batch_size=2048", "epochs=60", f"command={LINE}"), "run it") == again
    file = written(Path(), {"lr": 0.1, "seed": 0, "command": LINE})
    assert behind(command("carry_over", file, "batch_size=2048", "epochs=60"), "run it") == again


def test_what_a_command_does_not_say_is_told_and_named(command: Command) -> None:
    ended = command("carry_over", "batch_size=512:2048", "--", "python", "t.py", "--lr", "{lr:0.1:0.01:1}", "--x={x:3}")
    assert behind(ended, "run it") == "python t.py --lr '{lr:0.2:0.01:1}' '--x={x:3}'"
    assert "batch_size=2048" in behind(ended, "change beside it, as it stands in none of the words")
    assert behind(ended, "optimizer").startswith("taken to be sgd")
    told = command("carry_over", "batch_size=64:256", "optimizer=adamw:adamw", "--", "python", "t.py", "--lr", "1e-3")
    assert "optimizer: " not in told.out
    assert "--lr 2e-3" in behind(told, "run it")
    betas = "python t.py --lr 1e-3 --betas 0.9 0.99 --adam_epsilon 1e-8 --bs 64 --max_steps 800"
    ended = command("carry_over", "batch_size=256", "steps=200", "--", *betas.split())
    expected = "python t.py --lr 2e-3 --betas 0.6 0.9606 --adam_epsilon 5e-9 --bs 256 --max_steps 200"
    assert behind(ended, "run it") == expected


def test_adamw_to_muon(command: Command) -> None:
    words = ["python", "t.py", "--lr", "1e-3", "--wd", "0.1", "--optimizer", "adamw"]
    ended = command("carry_over", "optimizer=muon", "--", *words)
    assert behind(ended, "run it") == " ".join(words)
    assert "optimizer=muon" in behind(ended, "change beside it, as it stands in none of the words")
    assert "match_rms_adamw" in ended.out
    muon = command("carry_over", "batch_size=8:16", "--", *words[:-1], "muon")
    assert "--lr 1e-3 --wd 0.2" in behind(muon, "run it")


def test_any_other_file(here: Path, command: Command) -> None:
    settings = {"learning_rate": 0.1, "mom": 0.9, "weight_decay": 5e-4, "ema_decay": 0.99, "batch_size": 512}
    ended = command("carry_over", written(here, settings), "batch_size=1024", "momentum=0.95")
    new = yaml.safe_load(ended.out.partition("the new setting:\n")[2])
    lr = 0.1 * 2**0.5 / 2
    expected = {"lr": lr, "momentum": 0.95, "wd": 5e-4 * 2**0.5, "ema": 0.99**2, "batch_size": 1024}
    assert new == pytest.approx(expected, rel=1e-3)


WRONG = {
    "batch_size=0": "batch_size",
    "batch_size=512": "batch_size",
    "batch_size=x": "batch_size",
    "batch_size=1:2:3": "batch_size",
    "batch_size=256:1024": "batch_size",
    "steps=1000": "examples",
    "width=128": "width",
    "optimizer=adamw": "optimizer",
    "optimizer=lion": "optimizer",
    "check=3": "to",
    "check=4 epochs=3": "check",
    "check=3 examples=10:20": "check",
    "direction=up epochs=3": "direction",
    "file=best.yaml epochs=3": "file",
    "": "to",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_is_refused(words: str) -> None:
    with refused(FlatdirsError, WRONG[words]):
        carry_over.run(composed("carry-over", *words.split(), "--", *WORDS), [])


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("python t.py --wd 0.1", "command"),
        ("python t.py --lr 0.1 --learning-rate 0.2", "task.command"),
        ("python t.py --lr 0.1 --opt lion", "optimizer"),
        ("python t.py --lr 0.1 | tee log", "task.command"),
    ],
)
def test_commands_that_cannot_be_carried_over(words: str, key: str) -> None:
    with refused(ConfigError, key):
        carry_over.run(composed("carry-over", "batch_size=8:16", "--", *words.split()), [])


FILES = {
    "no lr": ({"wd": 0.1}, "epochs=2:4", "file"),
    "an lr in words": ({"lr": "fast"}, "epochs=2:4", "file"),
    "no batch size": ({"lr": 0.1}, "batch_size=4", "batch_size"),
    "nothing to run": ({"lr": 0.1}, "epochs=2:4 check=3", "check"),
    "steps of the trainer": (TRAINED, "steps=40", "steps"),
    "more than the data": (TRAINED, "batch_size=4000", "batch_size"),
    "half an epoch": (TRAINED, "epochs=0.5", "task.epochs"),
    "a schedule that finds lr": ({**TRAINED, "lr": None, "schedule": {"name": "cdat"}}, "epochs=2", "file"),
    "a function without the parameter": (
        {"lr": 0.1, "wd": 1e-3, "task": {"name": "x", "function": "MODULE:train"}}, "batch_size=4:8 check=3", "check",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_carried_over(name: str, here: Path) -> None:
    settings, words, key = FILES[name]
    text = yaml.safe_dump(settings).replace("MODULE", module_of(here))
    (here / "mine.yaml").write_text(text, encoding="utf-8")
    with refused(FlatdirsError, key):
        carry_over.run(composed("carry-over", "mine.yaml", *words.split()), [])


def test_no_file_and_unknown_keys_end_with_one_sentence(command: Command) -> None:
    for words in (["epochs=2:4"], ["nosuch.yaml", "epochs=2:4"], ["batchsize_=4", "--", *WORDS], ["a", "b"]):
        ended = command("carry_over", *words)
        assert ended.code == 2
        assert ended.err.count("\n") == 1


def checked(*values: Sequence[float | None], noise: float | None = None, maximize: bool = True) -> Checked:
    return Checked(tuple(tuple(own) for own in values), (0.1, 0.2, 0.4), noise, maximize, "%")


def test_the_verdict_of_a_check() -> None:
    assert checked([90.0], [91.0], [89.0]).held
    assert not checked([92.0], [91.0], [89.0]).held, "no noise is known"
    assert checked([92.0], [91.0], [89.0], noise=0.8).held, "1 is less than 2 standard errors of 0.8·√2"
    assert not checked([92.0], [91.0], [89.0], noise=0.3).held
    assert not checked([92.0, 92.2], [91.0, 91.0], [89.0, 88.0], noise=0.3).held
    assert checked([0.3], [0.2], [0.4], maximize=False).held
    assert not checked([0.1], [0.2], [0.4], maximize=False).held
    assert not checked([90.0], [None], [None]).held
    assert checked([None], [90.0], [None]).held
    assert checked([None], [None], [None]).held is None
    assert "diverged" in checked([None], [None], [None]).sentence()
    sentence = checked([92.0], [91.0], [89.0], noise=0.3).sentence()
    assert all(shown in sentence for shown in ("lr=0.1 92.00%", "lr=0.2 91.00%", "lr=0.4 89.00%", "0.5 times"))


def test_a_check_moves_along_lr_with_the_timescales_held() -> None:
    setting = {"lr": 0.2, "wd": 1e-3, "momentum": 0.9}
    low, middle, high = points_of(setting, True)
    assert middle == setting
    assert (low["lr"], low["wd"], high["lr"], high["wd"]) == (0.1, 2e-3, 0.4, 5e-4)
    assert [point["wd"] for point in points_of(setting, False)] == [1e-3] * 3


def test_a_check_of_a_function(here: Path, command: Command) -> None:
    body = "def train(lr, wd, epochs, seed): return 90 - abs(lr - 0.2) - abs(lr * wd * epochs - 0.0012) + seed / 100\n"
    (here / f"{module_of(here)}_check.py").write_text(body, encoding="utf-8")
    task = {"name": "train", "function": f"{module_of(here)}_check:train"}
    file = written(here, {"lr": 0.2, "wd": 1e-3, "task": task})
    ended = command("carry_over", file, "epochs=6:12", "check=6")
    assert ended.code == 0, ended.err
    verdict = ended.out.splitlines()[-1]
    assert "held" in verdict
    assert "lr=0.2 90.005" in verdict
    upside_down = command("carry_over", file, "epochs=6:12", "check=3", "direction=minimize").out.splitlines()[-1]
    assert "did not hold" in upside_down
    assert "2 times" in upside_down


@pytest.mark.slow
def test_a_check_of_a_command(here: Path, command: Command) -> None:
    words = [*script(here), "--lr", "0.1", "--weight-decay", "0.02", "--epochs", "2"]
    ended = command("carry_over", "epochs=4", "check=3", "--", *words)
    assert ended.code == 0, ended.err
    verdict = ended.out.splitlines()[-1]
    assert "--weight-decay 0.01" in ended.out
    assert "lr=0.05" in verdict
    assert "lr=0.1" in verdict
    assert "lr=0.2" in verdict
    assert len(list(here.glob("studies/train-carry-over/runs/*"))) == 3, "the run that shows the metric is the first"
    broken = python(here, "sys.exit(3)")
    with refused(ObjectiveError, "task.command"):
        words = ["epochs=4", "check=3", "metric=val_acc", "--", *broken, "--lr", "0.1", "--epochs", "2"]
        carry_over.run(composed("carry-over", *words), [])


@pytest.mark.slow
def test_a_check_on_the_trainer(here: Path, command: Command) -> None:
    tuned = command("tune", "task.epochs=1", "task.width=4", "start=typical", "budget=1", "confirm=0", "study=s")
    assert tuned.code == 0, tuned.err
    ended = command("carry_over", "studies/s/best.yaml", "batch_size=32", "epochs=2", "check=3")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.partition(":")[0] for line in lines[-4:-1]] == [f"check {number} of 3" for number in (1, 2, 3)]
    assert lines[-1].startswith("the rule ")
    middle = lines[-4].rpartition("  ")[2]
    single = command("train", *printed_command(ended.out, "train with it")[1:])
    assert f"accuracy {middle}" in single.out
