"""`flatdirs charts`: a line a chart, and the chart that a search of a command would use, with what it cannot know."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from flatdirs.config.tune import read_tune
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.fitting_chart import Fitting, fitting_chart
from flatdirs.objectives.command.template import Template
from flatdirs.space.shipped_charts import shipped_charts
from tests.conftest import Ended, composed

Command = Callable[..., Ended]
COMMANDS = {
    "python train.py --optimizer adamw --lr 1e-3 --wd 0.1 --batch-size 64": "adamw",
    "python train.py --betas 0.9 0.95 --lr 1e-3 --wd 0.1": "adamw",
    "python train.py --opt adam --lr 1e-3": "adam",
    "python train.py --optimizer adamw --lr 1e-3 --wd 0.1 --bs {batch_size:64:16:512}": "adamw_batch",
    "python train.py --optimizer adamw --lr 1e-3 --bs {batch_size:64:16:512}": "adam_batch",
    "python main.py --lr 0.1 --momentum 0.9 --wd 1e-4": "sgd",
    "python main.py --lr 0.1 --momentum 0.9 -b {batch_size:256}": "sgd_batch",
    "python train.py --optimizer muon --lr 0.02 --momentum 0.95 --adamw_lr 3e-4 --wd 0.01": "muon",
    "python tune.py --optim adamw_torch --lr 2e-4 --lora_r {lora_rank:16} --lora_alpha 32": "lora",
}


def fitting(command: str) -> Fitting:
    return fitting_chart(Template.parse(command))


def test_charts_are_listed_and_one_is_recommended(command: Command) -> None:
    listed = command("charts")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == [one.name for one in shipped_charts()]
    ended = command("charts", "--for", "python train.py --optimizer adamw --lr {lr} --wd 0.1 --batch-size 64")
    assert ended.code == 0
    first, *rest = ended.out.splitlines()
    assert first.startswith("chart adamw ")
    assert first.endswith("lr·wd, wd")
    assert any("https://arxiv.org/abs/2405.13698" in line for line in rest)
    assert sum(line.startswith("not known: ") for line in rest) == 4  # where lr starts, steps, batch, beta2


@pytest.mark.parametrize("line", COMMANDS)
def test_it_is_the_chart_of_a_search(line: str) -> None:
    fit = fitting(line)
    assert fit.about.name == COMMANDS[line]
    grid = read_tune(composed("tune", "--", *shlex.split(line))).plan.grid
    wanted = [axis.name for axis in fit.chart.axes]
    assert [axis.name for axis in grid.chart.axes][: len(wanted)] == wanted
    assert {*grid.chart.free} == {*fit.chart.free, *fit.further}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ("--optimizer sgd --lr 0.1 --momentum 0.9 --wd 1e-4", "normalisation"),
        ("--optimizer adam --lr 0.001 --wd 0.1", "coupled"),
        ("--optimizer adamw --lr 0.001", "weight decay"),
        ("--optimizer adamw --lr 0.001 --wd 0.1", "steps"),
        ("--optimizer muon --lr 0.02", "AdamW part"),
        ("--optimizer adamw --lr 2e-4 --lora_r {lora_rank:8}", "rsLoRA"),
        ("--lr 0.1", "optimizer"),
        ("--optimizer sgd --lr {lr}", "lr starts"),
        ("--optimizer adamw --lr 0.001 --wd {wd}", "tokens_per_parameter"),
        ("--optimizer sgd --lr 0.1 --batch-size 64", "sgd_batch"),
    ],
)
def test_what_the_words_do_not_say_is_said(more: str, word: str) -> None:
    assert any(word in one for one in fitting(f"python train.py {more}").unknown)


def test_what_they_say_is_not() -> None:
    told = "python t.py --optimizer adam --lr 0.001 --beta1 0.9 --batch-size {batch_size:64} --wd 0.1"
    assert ["coupled" in one for one in fitting(told).unknown] == [True]


def test_others_have_an_axis_each_and_some_are_held() -> None:
    fit = fitting("python t.py --optimizer sgd --lr 0.1 --drop {dropout:0.1} --act '{act:relu|gelu}' --epochs 3")
    assert fit.further == ("dropout", "act")
    assert set(fit.held) == {"epochs"}


@pytest.mark.parametrize("line", ["python train.py --epochs 3", "python train.py --lr 0.1 --optimizer.lr 0.1", "'"])
def test_a_command_without_one_learning_rate_is_refused(line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        fitting(line)
    assert refusal.value.key == "task.command"


def test_it_is_an_option_of_charts_alone(command: Command) -> None:
    for words in (["tune", "--for", "python t.py"], ["charts", "--for", ""]):
        ended = command(*words)
        assert ended.code == 2
        assert "for" in ended.err
