"""`ema`: the average follows its formula, is what evaluations judge, and changes nothing else."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from flatdirs.errors import ConfigError
from flatdirs.training.data import load
from flatdirs.training.dataset import mean_loss
from flatdirs.training.loop import train
from flatdirs.training.schedule import CosineRestarts
from flatdirs.training.weight_average import WeightAverage
from tests.refused import refused
from tests.test_training_loop import SHORT, Short, config, measured, states_equal


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_average_forgets_at_its_rate_and_leaves_out_the_initial_weights(decay: float) -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    average, seen = WeightAverage(model, decay), [3.0, -1.0, 4.0, 1.5]
    for value in seen:
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(value)
        average.see()
    ages = [decay ** (len(seen) - 1 - number) for number in range(len(seen))]
    expected = sum(age * value for age, value in zip(ages, seen, strict=True)) / sum(ages)
    assert average.weights["0.weight"].item() == pytest.approx(expected)
    assert average.weights["1.running_mean"].item() == pytest.approx(expected)
    model.eval()
    assert average(torch.ones(1, 1)).item() == pytest.approx(0.0, abs=1e-6)  # weight · 1 − the running mean
    assert model[0].weight.item() == seen[-1]


@SHORT
def test_a_run_is_judged_by_the_average_and_hands_it_over(short: Short) -> None:
    keys = {"threads": 1, "precision": "fp32"}
    plain, averaged, last = (train(short(ema=ema, **keys), keep_model=True) for ema in (None, 0.9, 0.0))
    assert [epoch.train_loss for epoch in averaged.epochs] == [epoch.train_loss for epoch in plain.epochs]
    assert all(a.loss != b.loss for a, b in zip(averaged.epochs, plain.epochs, strict=True))
    assert (measured(last), states_equal(last.model, plain.model)) == (measured(plain), True)
    settings = short()
    judged = load(settings.task, settings.data, torch.device("cpu")).evaluation_set
    assert averaged.model is not None
    with torch.no_grad():
        loss = mean_loss(averaged.model(judged.inputs), judged.labels)
    assert loss.item() == pytest.approx(averaged.loss, rel=1e-5)


def test_restarts_hand_over_the_average_at_the_end_of_the_last_phase() -> None:
    keys = {"schedule": CosineRestarts(phases=(1, 2, 4)), "threads": 1, "ema": 0.8}
    whole, cut = (
        train(config(dataclasses.replace(config().task, epochs=epochs), **keys), keep_model=True) for epochs in (3, 5)
    )
    assert (cut.loss, states_equal(cut.model, whole.model)) == (whole.loss, True)


@pytest.mark.parametrize("ema", [-0.1, 1.0, math.nan])
def test_a_wrong_decay_is_refused(ema: float) -> None:
    with refused(ConfigError, "ema"):
        config(ema=ema)
