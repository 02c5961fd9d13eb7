"""Printed commands: they read back as the settings they were made of, run as they stand, and show no password."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from flatdirs.backend.storages import open_storage
from flatdirs.backend.trials import IDENTITY
from flatdirs.config.tune import read_train, read_tune
from flatdirs.errors import ConfigError, FlatdirsError, masked
from flatdirs.report.closing import place
from flatdirs.tuning.commands import search_from, train_command, tune_overrides
from flatdirs.tuning.formatting import assignments, exact, hydra_text
from flatdirs.tuning.settings import TuneConfig
from tests.conftest import Ended, composed, module_of, printed_command, printed_commands

Command = Callable[..., Ended]
URL = "postgresql+psycopg://user:p%40s'w\"d@host:1/db?sslmode=require"
ODD = "Mäuse & 'Katzen' \"1\" ${x} #2"
LONG = {
    "hyperparameters": ["learning_rate", "momentum", "weight_decay"], "one_minus": ["momentum"],
    "follows": "learning_rate", "bounds": {"weight_decay": [None, 0.1]}, "step": 4, "name": "mine",
    "axes": [
        {"name": "lr / (1-m)", "exponents": {"learning_rate": 1, "momentum": "-6/5"}, "first": "halve"},
        {"name": "m", "exponents": {"momentum": 1}}, {"name": "w", "exponents": {"weight_decay": 1}},
    ],
}  # fmt: skip
TUNE = {
    "nothing": [],
    "names": [f"study={ODD}", "output=./~/a b/ü,[1]"],
    "a chart with changed keys": ["chart=sgd_plain", "chart.step=1.4142", "chart.bounds.lr=[0.001,null]", "fixed=[wd]"],
    "fixed": ["fixed=[momentum,wd]", "start=typical", "start.momentum=0.95", "search=raw", "search.min_gain=0.1"],
    "adamw": ["optimizer=adamw", "chart=adamw", "optimizer.beta2=0.95", "schedule=cosine", "schedule.final=0.1"],
    "restarts": ["schedule=cosine_restarts", "schedule.phases=[1,2]", "schedule.ranges=[[1,0.1],[0.5,0]]"],
    "a metric and a pruner": ["metric=edge_of_stability", "metric.kappa=1.03", "pruner=rungs", "pruner.first_rung=6"],
    "batches": ["chart=sgd_batch", "search=random", "box.lr=[0.01,1,uniform]", "start=typical"],
    "a box of batches": ["chart=sgd_batch", "search=tpe", "box.batch_size=[20,40]", "start.batch_size=24"],
    "limits": ["budget=3", "target=94.5", "minutes=7", "confirm=0", "repeats=2", "seed=5", "workers=2", "live=false"],
    "a trainer": ["device=cpu", "precision=fp32", "threads=1", "compile=true", "evaluate_every=3", "clip_gradient=0.5"],
    "warm-up, stable, decay and an average": ["schedule=wsd", "schedule.decay=0.3", "ema=0.99"],
    "another task": ["task=cifar10", "task.name=mine", "task.epochs=3", "data.path=a b.npz", "curvature.every=10"],
    "a text": ["task=text", "clip_gradient=null", "optimizer.beta2=0.999", "task.epochs=4"],
    "a text its own way": ["task=text_small", "optimizer=sgd", "schedule=triangle", "metric=accuracy"],
    "the learning rate alone": ["chart=lr_only", "start.momentum=0.95"],
    "a batch for adamw": ["optimizer=adamw", "chart=adamw_batch", "fixed=[beta1]"],
    "a base": ["task=text", "data.text=source", "base=b ü.pt", "lora_rank=4", "lora_alpha=8"],
    "muon": ["task=text", "optimizer=muon", "optimizer.scale=match_rms_adamw"],
    "schedule-free": ["task=text_small", "optimizer=schedulefree", "schedule.warmup_epochs=0"],
    "prodigy": ["optimizer=prodigy", "optimizer.d_coef=2", "start.lr=1"],
    "a start from prodigy": ["task=text", "start=prodigy"],
    "cdat": ["schedule=cdat", "chart=cdat", "start.sigma=0.5", "schedule.max_learning_rate=null"],
    "a database": ["storage=url", f"storage.url={URL}", "study=s"],
    "an earlier study": ["prior=an earlier one", "start.lr=0.3"],
    "sqlite": ["storage=sqlite", "storage.stale_minutes=5", "start=step_sampling", "start.wd=auto"],
    "memory": ["storage=memory", "start=cdat", "search.plateau_limit=3"],
    "a loss": ["task=callable", "task.function=anything:train", "direction=minimize", "task.unit= nats"],
    "a named function": ["task=callable", "task.name=hill", "task.function=anything:train", "search=gp", "chart=adamw"],
}  # fmt: skip


def same(config: TuneConfig) -> list[str]:
    """The overrides of a configuration, which are read as the same one."""
    printed = tune_overrides(config)
    assert read_tune(composed("tune", *printed)) == config
    return printed


@pytest.fixture
def anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that takes anything."""
    (tmp_path / "anything.py").write_text("def train(**settings): return 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("anything", None)


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize(
    "case", [*list(TUNE)[:4], *(pytest.param(one, marks=pytest.mark.slow) for one in list(TUNE)[4:])]
)
def test_overrides_of_tune_are_short_and_read_as_the_same_settings(case: str) -> None:
    printed = same(read_tune(composed("tune", *TUNE[case])))
    chart = ("a text", "a base", "muon", "schedule-free", "prodigy", "a start from prodigy")
    more = {"a metric and a pruner": 1, **dict.fromkeys(chart, 1)}  # how often runs are evaluated; the chart
    assert len(printed) <= len(TUNE[case]) + more.get(case, 0), printed


@pytest.mark.slow
@pytest.mark.usefixtures("anything")
def test_a_chart_of_ones_own_is_written_out_and_long_names_are_understood() -> None:
    for words in ([], ["task=callable", "task.function=anything:train"]):
        settings = composed("tune", *words, "fixed=[weight_decay]", "chart=sgd_batch" if words else "chart=sgd")
        settings["chart"] = LONG
        settings["start"] |= {"learning_rate": 0.25, "weight_decay": 0.01}
        settings["box"] |= {"learning_rate": [0.1, 1]}
        config = read_tune(settings)
        assert config.plan.grid.chart.fixed == {"wd"}
        assert config.plan.grid.start == {"lr": 0.25, "momentum": 0.9, "wd": 0.01}
        assert config.plan.box["lr"] == (0.1, 1)
        assert config.chart.step == 4
        same(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["lr=0.05", "momentum=0.8", "wd=0", "batch_size=20", "seed=3", "device=cpu", "compile=true"],
        ["task=cifar10_small", "task.epochs=2", "optimizer=adamw", "beta1=0.8", "schedule=step", "curvature.every=5"],
        ["task=text", "wd=0.0005", "clip_gradient=null", "schedule.warmup_epochs=0"],
        ["task=text", "data.text=source", "base=b ü.pt", "lora_rank=4", "lora_alpha=8"],
        ["task=text", "optimizer=muon", "adamw_lr=0.01", "momentum=0.9"],
        ["optimizer=schedulefree", "beta2=0.99", "schedule.warmup_epochs=2"],
        ["task=text", "schedule=wsd", "schedule.decay=0.5", "ema=0.9"],
        ["task=text_small", "task.name=mine", "optimizer=sgd", "data.path=b ü.txt"],
        ["schedule=cdat", "sigma=0.5", "data.path=b ü.npz", "data.evaluate=test", "evaluate_every=4"],
    ],
)
def test_a_printed_training_command_is_read_as_the_same_run(words: list[str]) -> None:
    config = read_train(composed("train", *words))
    name, *printed = shlex.split(train_command(config))[1:]
    assert name == "train"
    assert read_train(composed("train", *printed)) == config


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))) | st.text("ab\\\"'${}:/ ,=[]()äß@#~!?*"))
@example("a${b}\\${c}")
@example('a\\"\\')
@example("Null")
def test_any_text_survives_hydras_grammar(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_override(f"study={hydra_text(text)}").value()
    assert OmegaConf.to_container(OmegaConf.create({"study": parsed}), resolve=True) == {"study": text}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**31))
def test_numbers_are_written_exactly(value: float) -> None:
    assert float(exact(value)) == value


def test_rounded_numbers_are_written_short() -> None:
    values = {"lr": 0.192, "momentum": 0.8586, "wd": 1.282e-4, "batch_size": 512, "sigma": 2.0, "beta1": 0.99999}
    assert assignments(values) == "lr=0.192 momentum=0.8586 wd=0.0001282 batch_size=512 sigma=2 beta1=0.99999"


@pytest.mark.parametrize(
    ("search", "word"), [("flatdirs", "min_gain"), ("random", "min_gain"), ("tpe", "diverged"), ("raw", "budget")]
)
def test_a_key_that_a_search_does_not_read_is_refused(search: str, word: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_tune(composed("tune", f"search={search}", f"+search.{word}=1"))
    assert error.value.key == f"search.{word}"


# Every printed command, run as it stands


def identity(config: TuneConfig, study: str) -> dict[str, Any]:
    """What a study was made with."""
    import optuna

    storage = open_storage(config.storage.kind, config.output / study, config.storage.url)
    return dict(optuna.load_study(study_name=study, storage=storage).user_attrs[IDENTITY])


FUNCTION = ["task=callable", "confirm=5", "budget=3", "live=false", "start=myrtle"]
DIGITS = ["task.epochs=1", "task.width=4", "task.validation_images=200", "precision=fp32", "budget=2", "live=false"]
RUN = {
    "minimised on a finer chart, odd names": (
        [*FUNCTION, "direction=minimize", "chart=sgd_plain", "chart.step=1.4142", "chart.bounds.wd=[0.001,0.1]",
         "search=myrtle", "repeats=2", "seed=7", f"study={ODD}", "output=./~öfter & more"],
        1,
    ),
    "fixed, in sqlite, of one's own unit": (
        [*FUNCTION, "fixed=[weight_decay]", "storage=sqlite", "search=raw", "search.min_gain=0.5", "task.unit= °C"],
        1,
    ),
    "random to the edge of its box, in a database": (
        [*FUNCTION, "storage=url", "storage.url=sqlite:///öfter 1.db", "search=random", "study=a 1", "budget=8",
         "box.lr=[0.1,0.1001]", "box.wd=[0.01,0.0101,uniform]", "box.one_minus_momentum=[0.1,0.1001]"],
        2,
    ),
    "digits": (
        [*DIGITS, "chart=sgd_plain", "chart.step=1.4142", "confirm=8", "start=typical", "task.name=mine",
         "storage=sqlite", "schedule.warmup_epochs=0.25", "study=a b", "fixed=[momentum]"],
        3,
    ),
    "digits, a loss, adamw": (
        [*DIGITS, "optimizer=adamw", "metric=loss", "search=tpe", "confirm=0", "seed=2",
         "output=ü b", "evaluate_every=6", "pruner=wandb", "pruner.min_iter=2"],
        3,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", RUN)
def test_every_printed_command_runs_and_carries_everything(case: str, workplace: Path, command: Command) -> None:
    words, least = RUN[case]
    if "task=callable" in words:
        words = [*words, f"task.function={module_of(workplace)}:train"]
    ended = command("tune", *words)
    assert ended.code == 0, ended.err
    config = read_tune(composed("tune", *words, *(["chart=adamw"] if "optimizer=adamw" in words else [])))
    file = config.output / config.study / "best.yaml"
    best = yaml.safe_load(file.read_text(encoding="utf-8"))
    start = {name: best[name] for name in config.plan.grid.chart.hyperparameters}
    first = identity(config, config.study)
    printed = printed_commands(ended.out)
    assert len(printed) >= least
    head = printed_commands(file.read_text(encoding="utf-8"))
    assert head[-1] == printed_command(
        ended.out, "start from it" if "start from it: " in ended.out else "start from the winner"
    )
    accuracies = []
    for name, *arguments in [*printed, *head[:-1]]:
        again = command(name, *arguments)
        assert again.code == 0, again.err
        if name == "train":
            accuracies += re.findall(r"^accuracy (\S+)%, loss (\S+)", again.out, re.MULTILINE)
        elif any(word.startswith("start=") and word.endswith(".yaml") for word in arguments):
            assert identity(config, f"{config.study}-2") == {**first, "start": start}
        else:
            wider = identity(config, f"{config.study}-wider")
            assert {**wider, "box": first["box"]} == first
            assert wider["box"]["wd"][0] < 0.01
    assert len(set(accuracies)) <= 2, "the winner's, by file and by line, and the start's"


@pytest.mark.slow
def test_a_printed_command_is_what_a_shell_understands(workplace: Path, command: Command) -> None:
    words = [f"task.function={module_of(workplace)}:train", *FUNCTION, f"study={ODD}", "storage=sqlite"]
    ended = command("tune", *words)
    line = next(line for line in ended.out.splitlines() if line.startswith("start from it: "))
    script = f'flatdirs() {{ "$PYTHON" -m "flatdirs.$1" "${{@:2}}"; }}; {line.partition(": ")[2]}'
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"study {ODD}-2 in studies/{ODD}-2" in done.stdout


@pytest.mark.slow
def test_find_lr_prints_a_command_that_trains_at_the_rate_found(workplace: Path, command: Command) -> None:
    own = ["optimizer=adamw", "beta1=0.8", "batch_size=32", "optimizer.rate_per_images=16", "seed=3", "task.width=4"]
    own += ["task.epochs=1"]
    ended = command("find_lr", "steps=5", "validation_steps=4", *own, "figure=a curve.pdf")
    assert ended.code == 0, ended.err
    name, *arguments = printed_command(ended.out, "try it")
    assert {*own, "schedule=constant"} < set(arguments)
    trained = command(name, *arguments)
    assert trained.code == 0
    found = re.search(r"^learning rate (\S+) \[", ended.out, re.MULTILINE)
    assert found
    shown = float(trained.out.splitlines()[-2].split()[1])  # the optimizer's own rate in the last epoch
    assert shown == pytest.approx(float(found.group(1)), rel=0.02)


# Passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://root:geheim@host/db", "mysql://root:***@host/db"),
        ("x postgresql://u:ge@he:im/@host/db?x=1 y", "x postgresql://u:***@host/db?x=1 y"),
        ("postgresql://host/db?user=u&password=geheim&x=1", "postgresql://host/db?user=u&password=***&x=1"),
        ("'storage.url=\"mysql://:ge heim@host/db\"'", "'storage.url=\"mysql://:***@host/db\"'"),
        ("postgresql://user@host:5432/db", "postgresql://user@host:5432/db"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("postgresql://host:5432/db; write to me@x", "postgresql://host:5432/db; write to me@x"),
        ("postgresql://u:1/2@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("mysql://h/db?password='a b'&x=1", "mysql://h/db?password=***&x=1"),
        ("'mysql://h/db?passwd=geheim'", "'mysql://h/db?passwd=***'"),
    ],
)
def test_passwords_of_urls_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert str(FlatdirsError(text)) == shown


def test_a_printed_command_masks_the_password_and_says_so() -> None:
    config = read_tune(composed("tune", "storage=url", f"storage.url={URL}"))
    line = search_from(config, Path("best.yaml"), {})
    assert "p%40s" not in line + place(config)
    assert "user:***@host" in line
    assert "PGPASSWORD" in line.partition("  # ")[2]
    assert "***" not in search_from(
        replace(config, storage=replace(config.storage, url="sqlite:///x")), Path("x.yaml"), {}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:geheim@localhost:1/x", "mysql+nothing://u:geheim@h/x", "x://u:geheim@h/x?a=}{b"]
)
@pytest.mark.parametrize("name", ["tune", "status"])
def test_errors_show_no_password(url: str, name: str, workplace: Path, command: Command) -> None:
    ended = command(
        name, "storage=url", f"storage.url={url}", "study=s", *(["start=typical"] if name == "tune" else [])
    )
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "geheim" not in ended.out + ended.err
