"""Training and tuning with a rate found at every step: schedule=cdat, greedy and linesearch, and what they refuse."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from flatdirs import FlatDirectionsSampler
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.line_search import ArmijoLineSearch
from flatdirs.errors import ConfigError
from flatdirs.training.loop import expected_seconds, train
from flatdirs.training.lr_tuners import MINI_BATCH_EMA, USUAL_SIGMA, Cdat, Greedy, LineSearch, Tuner
from flatdirs.training.optimizer import AdamW, Sgd
from flatdirs.training.schedule import Triangle
from tests.conftest import Ended
from tests.test_training_loop import config

Command = Callable[..., Ended]
SMALL = ("task.epochs=2", "task.width=4", "precision=fp32", "live=false")


def tuned(schedule: Tuner, **changes: Any) -> Any:
    """A small run whose rate is found."""
    sigma = {"sigma": 0.5} if schedule.rate_name else {}
    return config(**{"schedule": schedule, "lr": None, "precision": "fp32", **sigma, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule", [Cdat(), Cdat(every=3, ema=0.5), Greedy(), LineSearch(max_learning_rate=0.3)], ids=str
)
@pytest.mark.parametrize("optimizer", [Sgd(), Sgd(nesterov=False), AdamW(no_decay=True)], ids=str)
def test_every_tuner_trains_every_base_and_a_seed_gives_the_same_bits(schedule: Tuner, optimizer: Any) -> None:
    own = {"momentum": None, "beta1": 0.9} if isinstance(optimizer, AdamW) else {"momentum": 0.5}
    runs = [train(tuned(schedule, optimizer=optimizer, **own)) for _ in range(2)]
    first, again = ([(e.train_loss, e.loss, e.accuracy, e.lr) for e in run.epochs] for run in runs)
    assert first == again
    assert not runs[0].diverged
    rates = [epoch.lr for epoch in runs[0].epochs]
    assert all(0 <= rate <= (schedule.max_learning_rate or math.inf) + 1e-6 for rate in rates)
    assert max(rates) > 0
    assert runs[0].steps == 12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_base_is_the_optimizers(momentum: float, nesterov: bool) -> None:
    name, settings = Sgd(nesterov=nesterov).base(momentum)
    assert name == ("gd" if momentum == 0 else "nesterov" if nesterov else "momentum")
    assert settings == {"momentum": momentum}
    assert AdamW(beta2=0.95, epsilon=1e-6).base(0.8) == ("adamw", {"betas": (0.8, 0.95), "eps": 1e-6})


def test_what_a_schedule_builds() -> None:
    import torch

    def built(schedule: Tuner, sigma: float | None = None, full: bool = False) -> Any:
        groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "wd": 0.1}]
        return schedule.build(groups, "nesterov", {"momentum": 0.7}, sigma, full)

    optimizer = built(Cdat(max_learning_rate=None, every=2), 0.25)
    assert isinstance(optimizer, CDAT)
    assert (optimizer.sigma, optimizer.ema, optimizer.every) == (0.25, MINI_BATCH_EMA, 2)
    assert optimizer.max_learning_rate is None
    assert (optimizer.param_groups[0]["momentum"], optimizer.param_groups[0]["wd"]) == (0.7, 0.1)
    assert built(Cdat(), 0.25, full=True).ema == 0.0
    assert built(Cdat(ema=0.3), 0.25, full=True).ema == 0.3
    assert built(Greedy()).sigma == 1.0
    assert isinstance(built(LineSearch(max_learning_rate=0.5)), ArmijoLineSearch)


def test_the_time_of_a_run_can_be_told_and_its_relaxation_cannot() -> None:
    assert expected_seconds(tuned(Cdat())) > 0
    assert tuned(Cdat()).timescales is None
    assert config().timescales > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": Cdat(), "lr": None}, "schedule=cdat needs sigma"),
        ({"schedule": Cdat(), "sigma": 1.0}, "schedule=cdat has no lr"),
        ({"schedule": Greedy(), "lr": None, "sigma": 1.0}, "schedule=greedy has no sigma"),
        ({"schedule": Triangle(), "lr": None}, "schedule=triangle needs lr"),
        ({"schedule": Triangle(), "sigma": 1.0}, "schedule=triangle has no sigma"),
        ({"schedule": Cdat(), "lr": None, "sigma": math.nan}, "sigma=nan must be finite and above 0"),
        ({"schedule": Greedy(), "lr": None, "compile": True}, "set compile=false"),
        ({"schedule": LineSearch(), "lr": None, "precision": "fp16"}, "precision=fp16"),
        ({"schedule": Greedy(), "lr": None, "optimizer": Sgd(rate_per_images=32)}, "rate_per_images=null"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        config(**changes)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Cdat(ema=1.0), "schedule.ema"),
        (lambda: Cdat(ema=-0.1), "schedule.ema"),
        (lambda: Greedy(every=0), "schedule.every"),
        (lambda: LineSearch(max_learning_rate=0.0), "schedule.max_learning_rate"),
        (lambda: LineSearch(max_learning_rate=math.inf), "schedule.max_learning_rate"),
    ],
)
def test_a_key_that_no_run_could_use_is_refused(make: Callable[[], Tuner], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}="):
        make()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["schedule=cdat", "sigma=0.5"], ["schedule=greedy"], ["schedule=linesearch"]], ids=str
)
def test_train_prints_the_rate_that_was_found(words: list[str], workplace: Path, command: Command) -> None:
    ended = command("train", *words, "task=digits", "task.epochs=2")
    assert ended.code == 0, ended.err
    rates = [float(line.split()[1]) for line in ended.out.splitlines() if re.match(r" +\d  ", line)]
    assert len(rates) == 2
    assert all(0 < rate <= 1.0 for rate in rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["schedule=cdat"], ["schedule=greedy", "chart=greedy"], ["schedule=cdat", "optimizer=adamw"]], ids=str
)
def test_a_tuned_winner_without_a_learning_rate_trains(words: list[str], workplace: Path, command: Command) -> None:
    ended = command("tune", *words, *SMALL, "budget=3", "confirm=0", "study=tuned")
    assert ended.code == 0, ended.err
    best = yaml.safe_load((workplace / "studies/tuned/best.yaml").read_text(encoding="utf-8"))
    assert "lr" not in best
    found = re.search(r"best: run \d of 3, ([\d.]+)%", ended.out)
    again = command("train", "--config-file", "studies/tuned/best.yaml")
    assert found
    assert f"accuracy {found.group(1)}%" in again.out


REFUSED = {
    "no chart for it": (["schedule=cdat", "chart=sgd"], "chart=cdat"),
    "a chart without the schedule": (["chart=cdat"], "schedule"),
    "another tuner's chart": (["schedule=greedy", "chart=cdat"], "sigma"),
    "another optimizer's chart": (["schedule=cdat", "chart=cdat", "optimizer=adamw"], "chart"),
    "a probe for nothing": (["schedule=cdat", "chart=cdat", "start=step_sampling"], "start.lr"),
    "compile": (["schedule=cdat", "chart=cdat", "compile=true"], "compile"),
    "float16": (["schedule=cdat", "chart=cdat", "precision=fp16"], "precision"),
    "ema 1": (["schedule=cdat", "chart=cdat", "schedule.ema=1"], "schedule.ema"),
    "a key of another tuner": (["schedule=linesearch", "chart=greedy", "schedule.every=2"], "schedule.every"),
    "sigma beyond the wall": (["schedule=cdat", "chart=cdat", "start.sigma=9"], "start.sigma"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_gets_one_sentence_that_names_the_key(case: str, workplace: Path, command: Command) -> None:
    words, key = REFUSED[case]
    ended = command("tune", "live=false", *words)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert key in ended.err


def test_a_sampler_on_the_chart_of_cdat_begins_at_the_usual_sigma() -> None:
    study = optuna.create_study(sampler=FlatDirectionsSampler(chart="cdat"))
    study.optimize(lambda trial: trial.suggest_float("sigma", 0.01, 4, log=True), n_trials=1)
    assert study.best_params == {"sigma": USUAL_SIGMA}
