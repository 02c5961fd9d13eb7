"""AdamW's start on a language model: the weight decay by tokens per parameter, and beta2 at small batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flatdirs.config.tune import read_tune
from flatdirs.errors import ConfigError
from flatdirs.report.command_lines import recognised_lines
from flatdirs.training.data import load
from flatdirs.tuning.adamw_start import timescales
from flatdirs.tuning.commands import tune_overrides
from flatdirs.tuning.settings import TuneConfig
from flatdirs.tuning.start import TIMESCALE, with_start
from tests.conftest import Ended, composed

Command = Callable[..., Ended]
TOLD = ("task.steps=10000", "task.tokens_per_parameter=20")
ADAMW = ("python", "t.py", "--optimizer", "adamw", "--lr", "1e-3")


def started(*words: str) -> tuple[TuneConfig, str]:
    """A search whose start is given but for its weight decay, and what was said of it."""
    said: list[str] = []
    given = ("task=text_small", "storage=memory", "start.lr=0.01", "live=false")
    config = with_start(read_tune(composed("tune", *given, *words)), said.append)
    return config, " ".join(said)


def timescales_of(config: TuneConfig) -> float:
    found = config.objective.config(config.plan.grid.start, 0).decay_timescales  # type: ignore[union-attr]
    assert found is not None
    return found


class TestLaw:
    def test_four_to_five_at_twenty_tokens_per_parameter_and_a_known_power_above(self) -> None:
        assert 4 < timescales(20) < 5
        assert timescales(320) / timescales(20) == pytest.approx(16**0.527)

    def test_never_fewer_than_for_other_models(self) -> None:
        assert timescales(1e-9) == timescales(1) == TIMESCALE


class TestText:
    @pytest.mark.parametrize("more", [(), ("task.width=16", "start.lr=0.03")])
    def test_the_weight_decay_follows_from_tokens_and_parameters(self, more: tuple[str, ...]) -> None:
        config, _ = started(*more)
        task: Any = config.task
        width, characters = task.width, load(task, config.data, torch.device("cpu")).classes
        parameters = (characters + task.context) * width + task.depth * (12 * width**2 + 13 * width) + 2 * width
        tokens = task.epochs * task.train_characters
        assert timescales_of(config) == pytest.approx(timescales(tokens / parameters), rel=0.06)  # wd has two digits
        assert timescales_of(config) > 2

    def test_other_optimizers_and_other_tasks_keep_one(self) -> None:
        assert timescales_of(started("optimizer=sgd")[0]) == pytest.approx(TIMESCALE, rel=0.06)
        config, _ = started("task=digits", "optimizer=adamw")
        assert timescales_of(config) == pytest.approx(TIMESCALE, rel=0.06)

    def test_a_weight_decay_that_is_given_stays(self) -> None:
        assert started("start.wd=0.01")[0].plan.grid.start["wd"] == 0.01

    def test_beta2_is_told_where_batches_are_small(self) -> None:
        """The recipe has 0.99 for 1,024 characters a step; two windows of 32 are a sixteenth."""
        assert "optimizer.beta2=0.9994" in started("task.batch_size=2")[1]
        assert "beta2" not in started()[1]
        assert "beta2" not in started("task.batch_size=2", "optimizer.beta2=0.95")[1]
        assert "beta2" not in started("task.batch_size=2", "optimizer=sgd")[1]


class TestCommand:
    def test_a_bare_weight_decay_begins_where_the_law_says(self) -> None:
        config = read_tune(composed("tune", *TOLD, "--", *ADAMW, "--wd", "{wd}"))
        assert config.plan.grid.start == {"lr": 1e-3, "wd": 0.45}  # 4.5/(10000·0.001)
        assert any(line.startswith("wd: 0.45, for T·lr·wd") for line in recognised_lines(config))
        again = read_tune(composed("tune", *tune_overrides(config)))
        assert again.plan == config.plan

    def test_above_the_largest_start_both_numbers_are_said(self) -> None:
        config = read_tune(composed("tune", "task.steps=1000", TOLD[1], "--", *ADAMW, "--wd", "{wd}"))
        assert config.plan.grid.start["wd"] == 1
        assert any("T·lr·wd = 1; 4.5 would be" in line for line in recognised_lines(config))

    @pytest.mark.parametrize(
        ("words", "command", "key"),
        [
            (TOLD, (*ADAMW, "--wd", "0.1"), "task.tokens_per_parameter"),
            (TOLD, ADAMW, "task.tokens_per_parameter"),
            (TOLD, ("python", "t.py", "--lr", "0.1", "--wd", "{wd}"), "task.tokens_per_parameter"),
            (TOLD, (*ADAMW[:-1], "{lr}", "--wd", "{wd}"), "task.tokens_per_parameter"),
            (TOLD[:1], (*ADAMW, "--wd", "{wd}"), "task.tokens_per_parameter"),
            (TOLD[1:], (*ADAMW, "--wd", "{wd}"), "task.steps"),
            (("task.steps=0", TOLD[1]), (*ADAMW, "--wd", "{wd}"), "task.steps"),
            ((TOLD[0], "task.tokens_per_parameter=0"), (*ADAMW, "--wd", "{wd}"), "task.tokens_per_parameter"),
            ((), (*ADAMW, "--wd", "{wd}"), "task.command"),
        ],
    )
    def test_what_cannot_be_is_refused(self, words: tuple[str, ...], command: tuple[str, ...], key: str) -> None:
        with pytest.raises(ConfigError) as refusal:
            read_tune(composed("tune", *words, "--", *command))
        assert refusal.value.key == key

    def test_a_dry_run_says_so(self, command: Command, tmp_path: Path) -> None:
        ended = command("tune", *TOLD, "--dry-run", "--", *ADAMW, "--wd", "{wd}")
        assert ended.code == 0
        assert "wd: 0.45" in ended.out
        assert "--wd 0.45" in ended.out
