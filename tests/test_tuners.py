"""schedule=cdat, greedy and linesearch, which choose the learning rate at every step, in training and tuning."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml

from flatdirs import FlatDirectionsSampler
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.line_search import ArmijoLineSearch
from flatdirs.errors import ConfigError
from flatdirs.training.loop import expected_seconds, train
from flatdirs.training.optimizer import AdamW, Sgd
from flatdirs.training.schedule import Triangle
from flatdirs.training.self_tuning import MINI_BATCH_EMA, USUAL_SIGMA, Cdat, Greedy, LineSearch, Tuner
from tests.conftest import Ended
from tests.refused import refused
from tests.test_training_loop import config, measured

Command = Callable[..., Ended]
SMALL = ("task.epochs=2", "task.width=4", "precision=fp32", "live=false")


def tuned(schedule: Tuner, **changes: Any) -> Any:
    """A small run whose rate is found."""
    sigma = {"sigma": 0.5} if schedule.rate_name else {}
    return config(**{"schedule": schedule, "lr": None, "precision": "fp32", **sigma, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "optimizer"),
    [
        (Cdat(), Sgd()),
        (Cdat(every=3, ema=0.5), AdamW(no_decay=True)),
        (Greedy(), Sgd(nesterov=False)),
        (LineSearch(max_learning_rate=0.3), Sgd()),
        (LineSearch(max_learning_rate=0.3), AdamW()),
    ],
    ids=str,
)
def test_training_is_repeatable_to_the_bit(schedule: Tuner, optimizer: Any) -> None:
    own = {"momentum": None, "beta1": 0.9} if isinstance(optimizer, AdamW) else {"momentum": 0.5}
    first, again = (train(tuned(schedule, optimizer=optimizer, **own)) for _ in range(2))
    assert measured(first) == measured(again)
    assert not first.diverged
    rates = [epoch.lr for epoch in first.epochs]
    assert all(0 <= rate <= (schedule.max_learning_rate or math.inf) + 1e-6 for rate in rates)
    assert max(rates) > 0
    assert first.steps == 12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_base_is_the_optimizers(momentum: float, nesterov: bool) -> None:
    name, settings = Sgd(nesterov=nesterov).base(momentum)
    assert name == ("gd" if momentum == 0 else "nesterov" if nesterov else "momentum")
    assert settings == {"momentum": momentum}
    assert AdamW(beta2=0.95, epsilon=1e-6).base(0.8) == ("adamw", {"betas": (0.8, 0.95), "eps": 1e-6})


def test_the_optimizers_of_the_schedules() -> None:
    def built(schedule: Tuner, sigma: float | None = None, full: bool = False) -> Any:
        groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "weight_decay": 0.1}]
        return schedule.build(groups, "nesterov", {"momentum": 0.7}, sigma, full)

    optimizer = built(Cdat(max_learning_rate=None, every=2), 0.25)
    assert isinstance(optimizer, CDAT)
    assert (optimizer.sigma, optimizer.ema, optimizer.every) == (0.25, MINI_BATCH_EMA, 2)
    assert optimizer.max_learning_rate is None
    assert (optimizer.param_groups[0]["momentum"], optimizer.param_groups[0]["weight_decay"]) == (0.7, 0.1)
    assert built(Cdat(), 0.25, full=True).ema == 0.0
    assert built(Cdat(ema=0.3), 0.25, full=True).ema == 0.3
    assert built(Greedy()).sigma == 1.0
    assert isinstance(built(LineSearch(max_learning_rate=0.5)), ArmijoLineSearch)


def test_without_lr_the_time_of_a_run_is_known_and_its_decay_timescales_are_not() -> None:
    assert expected_seconds(tuned(Cdat())) > 0
    assert tuned(Cdat()).decay_timescales is None
    assert config().decay_timescales == pytest.approx(12 * 0.1 * 0.01 / (1 - 0.5))


WRONG = [
    ({"schedule": Cdat(), "lr": None}, "sigma"),
    ({"schedule": Cdat(), "sigma": 1.0}, "lr"),
    ({"schedule": Greedy(), "lr": None, "sigma": 1.0}, "sigma"),
    ({"schedule": Triangle(), "lr": None}, "lr"),
    ({"schedule": Triangle(), "sigma": 1.0}, "sigma"),
    ({"schedule": Cdat(), "lr": None, "sigma": math.nan}, "sigma"),
    ({"schedule": Greedy(), "lr": None, "compile": True}, "compile"),
    ({"schedule": LineSearch(), "lr": None, "precision": "fp16"}, "precision"),
    ({"schedule": Greedy(), "lr": None, "clip_gradient": 1.0}, "clip_gradient"),
    ({"schedule": Greedy(), "lr": None, "optimizer": Sgd(rate_per_images=32)}, "optimizer.rate_per_images"),
]


@pytest.mark.parametrize(("changes", "key"), WRONG, ids=str)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], key: str) -> None:
    with refused(ConfigError, key):
        config(**changes)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (Cdat, "ema", 1.0),
        (Cdat, "ema", -0.1),
        (Greedy, "every", 0),
        (LineSearch, "max_learning_rate", 0.0),
        (LineSearch, "max_learning_rate", math.inf),
    ],
)
def test_a_wrong_setting_is_refused(kind: type[Tuner], key: str, value: float) -> None:
    with refused(ConfigError, f"schedule.{key}"):
        kind(**{key: value})


@pytest.mark.slow
def test_train_prints_the_rate_that_was_found(workplace: Path, command: Command) -> None:
    ended = command("train", "schedule=linesearch", "task=digits", "task.epochs=2")
    assert ended.code == 0, ended.err
    rates = [float(line.split()[1]) for line in ended.out.splitlines() if re.match(r" +\d  ", line)]
    assert len(rates) == 2
    assert all(0 < rate <= 1.0 for rate in rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "searched"),
    [
        (["schedule=greedy", "chart=greedy"], {"momentum", "wd"}),
        (["schedule=cdat", "optimizer=adamw"], {"sigma", "wd", "beta1"}),
    ],
)
def test_tune_starts_without_probes_and_its_winner_trains(
    words: list[str], searched: set[str], workplace: Path, command: Command
) -> None:
    ended = command("tune", *words, *SMALL, "budget=3", "confirm=0", "study=tuned")
    assert ended.code == 0, ended.err
    assert "probes of" not in ended.out
    best = yaml.safe_load((workplace / "studies/tuned/best.yaml").read_text(encoding="utf-8"))
    assert searched <= set(best)
    assert "lr" not in best
    found = re.search(r"best: run \d of 3, ([\d.]+)%", ended.out)
    again = command("train", "--config-file", "studies/tuned/best.yaml")
    assert found
    assert f"accuracy {found.group(1)}%" in again.out


REFUSED = {
    "another chart": (["schedule=cdat", "chart=sgd"], "chart"),
    "a chart without the schedule": (["chart=cdat"], "schedule"),
    "another optimizer's chart": (["schedule=cdat", "chart=cdat", "optimizer=adamw"], "chart"),
    "a probe without lr": (["schedule=cdat", "chart=cdat", "start=step_sampling"], "start.lr"),
    "a key of another tuner": (["schedule=linesearch", "chart=greedy", "schedule.every=2"], "schedule.every"),
    "sigma out of bounds": (["schedule=cdat", "chart=cdat", "start.sigma=9"], "start.sigma"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_command_is_refused(case: str, workplace: Path, command: Command) -> None:
    words, key = REFUSED[case]
    ended = command("tune", "live=false", *words)
    assert ended.code == 2
    assert key in ended.err


def test_a_sampler_on_the_chart_of_cdat_begins_at_the_usual_sigma() -> None:
    study = optuna.create_study(sampler=FlatDirectionsSampler(chart="cdat"))
    study.optimize(lambda trial: trial.suggest_float("sigma", 0.01, 4, log=True), n_trials=1)
    assert study.best_params == {"sigma": USUAL_SIGMA}
