"""Fine-tuning a text network from a base, whole or by LoRA: what is trained, what is saved, what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from flatdirs.errors import ConfigError, DataError
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.data import load
from flatdirs.training.dataset import mean_loss
from flatdirs.training.gpt import Gpt
from flatdirs.training.loop import train
from flatdirs.training.lora import LoraLinear, merged_state
from flatdirs.training.muon import Muon
from flatdirs.training.optimizer import AdamW
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.schedule import Cosine
from flatdirs.training.task import DataConfig, TextTask
from flatdirs.training.text import builtin_source, builtin_text
from tests.conftest import Ended, printed_command
from tests.refused import refused
from tests.test_text import CPU, QUICK, text_task
from tests.test_text import config as text_config
from tests.test_training_loop import config as digits
from tests.test_training_loop import measured

Command = Callable[..., Ended]
SOURCE = DataConfig(text="source")


def task(**changes: object) -> TextTask:
    return text_task(**{"train_characters": 1024, "validation_characters": 256, "batch_size": 8, **changes})


@pytest.fixture
def base(tmp_path: Path) -> str:
    """Weights of a network that has seen some of the help topics."""
    model = train(text_config(task()), keep_model=True).model
    assert model is not None
    torch.save(merged_state(model), tmp_path / "base.pt")
    return str(tmp_path / "base.pt")


def tuned(base: str | None, **changes: object) -> TrainConfig:
    """A run on the other text that begins from a base."""
    return text_config(task(), **{"data": SOURCE, "base": base, "precision": "fp32", **changes})


def test_the_other_text_has_no_character_that_the_first_has_not() -> None:
    assert set(builtin_source()) <= set(builtin_text())
    assert len(builtin_source()) > 131072 + 2 * 51200  # as many as task=text needs


def test_a_run_begins_where_the_base_ended(base: str) -> None:
    result = train(tuned(base, lr=1e-30, data=DataConfig()))
    assert result.loss == pytest.approx(train(text_config(task(), precision="fp32")).loss, rel=1e-5)
    for rank in (1, 4):  # B is zero at first
        adapted = train(tuned(base, lr=1e-30, data=DataConfig(), lora_rank=rank))
        assert adapted.loss == pytest.approx(result.loss, rel=1e-5)


@pytest.mark.parametrize("own", [{}, {"optimizer": Muon(), "momentum": 0.9, "beta1": None, "lr": 0.02}], ids=str)
def test_lora_trains_its_products_alone_and_repeats_to_the_bit(base: str, own: dict[str, object]) -> None:
    first, again = (train(tuned(base, lora_rank=2, **{"lr": 0.03, **own}), keep_model=True) for _ in range(2))
    assert measured(first) == measured(again)
    assert measured(first) != measured(train(tuned(base, lora_rank=2, seed=1, **{"lr": 0.03, **own})))
    assert first.epochs[-1].train_loss < first.epochs[0].train_loss
    model, before = first.model, torch.load(base)
    assert model is not None
    adapters = [part for part in model.modules() if isinstance(part, LoraLinear)]
    assert len(adapters) == 2 * 4
    assert sum(own.numel() for own in model.parameters() if own.requires_grad) == 2 * 2 * (64 + 32 + 80 + 80)
    for name, kept in model.state_dict().items():
        if not name.endswith((".up", ".down")):
            assert torch.equal(kept, before[name.replace("frozen.", "")]), name


def test_the_scale_is_alpha_over_rank(base: str) -> None:
    losses = [train(tuned(base, lora_rank=2, lora_alpha=alpha)).loss for alpha in (None, 16.0, 1.0)]
    assert losses[0] == losses[1] != losses[2]
    layer = LoraLinear(nn.Linear(3, 2), 2, 8.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.up.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    expected = layer.frozen(inputs) + 4.0 * inputs @ (layer.up @ layer.down).T
    assert torch.allclose(layer(inputs), expected)
    assert torch.allclose(layer.merged()(inputs), expected)
    assert layer.down.abs().max() <= 3**-0.5


def test_what_is_saved_is_the_tuned_network_and_a_base_again(base: str, tmp_path: Path) -> None:
    result = train(tuned(base, lora_rank=2, lr=0.03), keep_model=True)
    assert result.model is not None
    torch.save(merged_state(result.model), tmp_path / "tuned.pt")
    again = train(tuned(str(tmp_path / "tuned.pt"), lr=1e-30))
    assert again.loss == pytest.approx(result.loss, rel=1e-4)
    settings = tuned(str(tmp_path / "tuned.pt"))
    judged = load(settings.task, SOURCE, CPU, settings.base).evaluation_set
    whole = load(settings.task, SOURCE, CPU, settings.base).model(settings.task, 0, CPU)
    assert isinstance(whole, Gpt)
    with torch.no_grad():
        assert mean_loss(whole(judged.inputs), judged.labels).item() == pytest.approx(result.loss, rel=1e-4)


def test_without_a_rank_all_weights_are_trained(base: str) -> None:
    model, before = train(tuned(base, lr=0.01), keep_model=True).model, torch.load(base)
    assert model is not None
    assert all(not torch.equal(own, before[name]) for name, own in model.named_parameters())


def test_rank_and_alpha_may_be_searched(base: str) -> None:
    recipe = {"schedule": Cosine(), "optimizer": AdamW(), "precision": "fp32", "threads": 1}
    objective = ImageObjective(task(), SOURCE, "cpu", base=base, lora_rank=1, **recipe)  # type: ignore[arg-type]
    point = {"lr": 0.03, "beta1": 0.9, "wd": 0.1}
    settings = ({}, {"lora_rank": 1.0}, {"lora_rank": 3.0}, {"lora_alpha": 4.0})
    losses = [objective.measure({**point, **own}, [0], lambda *_: None).loss for own in settings]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3
    without = ImageObjective(task(), SOURCE, "cpu", **recipe)  # type: ignore[arg-type]
    assert objective.fingerprint() != without.fingerprint()
    with refused(ConfigError, "chart", "lora_rank"):
        without.check({**point, "lora_rank": 1.0})


def test_what_does_not_fit_is_refused_with_its_key(base: str, tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save(torch.zeros(2), tmp_path / "bare.pt")
    for name in ("nothing.pt", "broken.pt", "other.pt", "bare.pt", ""):
        with refused(ConfigError, "base"):
            train(tuned(str(tmp_path / name)))
    for changes in ({"width": 32}, {"heads": 2}, {"depth": 1}, {"context": 16}):
        with refused(ConfigError, "base", f"task.{next(iter(changes))}"):
            train(text_config(task(**changes), base=base, data=SOURCE))
    (tmp_path / "own.txt").write_text(builtin_text()[:3000] + "ж", encoding="utf-8")
    with refused(DataError, "data.path", "ж"):
        train(tuned(base, data=DataConfig(path=str(tmp_path / "own.txt"))))
    with refused(DataError, "data.text"):
        train(digits(data=SOURCE))
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: tuned(base, lora_rank=0), "lora_rank"),
        (lambda: tuned(None, lora_rank=2), "lora_rank"),
        (lambda: tuned(base, lora_alpha=2.0), "lora_alpha"),
        (lambda: tuned(base, lora_rank=2, lora_alpha=0.0), "lora_alpha"),
        (lambda: digits(base=base), "base"),
        (lambda: DataConfig(text="poem"), "data.text"),
        (lambda: DataConfig(path="own.txt", text="source"), "data.text"),
    ]
    for make, key in wrong:
        with refused(ConfigError, key):
            make()


@pytest.mark.slow
def test_from_a_base_to_a_search_of_its_fine_tuning(workplace: Path, command: Command) -> None:
    words = ["task=text_small", *QUICK, "task.train_characters=32768", "precision=fp32"]
    assert command("train", *words, "lr=0.01", "save=base.pt").code == 0
    before = command("train", *words, "lr=1e-30", "data.text=source", "base=base.pt").out
    own = ["data.text=source", "base=base.pt", "lora_rank=2"]
    after = command("train", *words, *own, "lr=0.02", "save=tuned.pt")
    assert loss_of(after.out) < loss_of(before) - 0.1
    again = command("train", *words, "lr=1e-30", "data.text=source", "base=tuned.pt").out
    assert loss_of(again) == pytest.approx(loss_of(after.out), abs=1e-3)
    ended = command("tune", *words, *own, "budget=2", "confirm=0")
    assert ended.code == 0, ended.err
    best = yaml.safe_load((workplace / "studies/text_small-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert (best["base"], best["lora_rank"], best["data"]["text"]) == ("base.pt", 2, "source")
    found = float(re.search(r"best: run \d of 2, ([\d.]+) loss", ended.out)[1])  # type: ignore[index]
    for label in ("train with it", "or"):
        assert loss_of(command(*printed_command(ended.out, label)).out) == pytest.approx(found, abs=1e-4)
    for refusal in (["lora_rank=0"], ["task.width=64"], ["base=nothing.pt"]):
        refused_run = command("train", *words, *own, *refusal)
        assert (refused_run.code, refused_run.err.count("\n")) == (2, 1)
    assert command("find_lr", *words[:-1], *own, "steps=5", "validation_steps=4").code == 0


def loss_of(text: str) -> float:
    return float(re.search(r"loss ([\d.]+) after", text)[1])  # type: ignore[index]
