"""task=text: what the network may see, how the text is cut, what a run learns, and whole commands."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from flatdirs.errors import ConfigError, DataError
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.data import load
from flatdirs.training.gpt import Gpt, build_gpt
from flatdirs.training.loop import TrainConfig, train
from flatdirs.training.metrics import Loss
from flatdirs.training.optimizer import AdamW
from flatdirs.training.schedule import Cosine
from flatdirs.training.task import DataConfig, TextTask
from flatdirs.training.text import builtin_text
from tests.conftest import Ended, composed, printed_command
from tests.refused import refused

Command = Callable[..., Ended]
CPU = torch.device("cpu")
SIZES = {"context": 8, "width": 16, "depth": 2, "heads": 4}
COUNTS = {"train_characters": 64, "validation_characters": 32, "test_characters": 24}
LETTERS = "".join(chr(200 + number) for number in range(121))  # none twice, so that every place can be told
QUICK = ["task.train_characters=8192", "task.validation_characters=2048", "task.test_characters=2048", "task.epochs=2"]


def text_task(**changes: object) -> TextTask:
    """A tiny task with some keys changed."""
    return TextTask(**{"name": "tiny", "epochs": 2, "batch_size": 4, **SIZES, **COUNTS, **changes})  # type: ignore[arg-type]


def config(task: TextTask, **changes: object) -> TrainConfig:
    """A run of it with some settings changed."""
    recipe = {"schedule": Cosine(), "optimizer": AdamW(no_decay=True), "precision": "fp32", "threads": 1}
    keys = {"lr": 0.01, "momentum": None, "beta1": 0.9, "wd": 0.1, "device": "cpu", **recipe, **changes}
    return TrainConfig(task, **{"data": DataConfig(), **keys})  # type: ignore[arg-type]


def written(folder: Path, text: str = LETTERS, name: str = "own.txt") -> DataConfig:
    """A text file of the user's."""
    (folder / name).write_text(text, encoding="utf-8")
    return DataConfig(path=str(folder / name))


def network(vocabulary: int = 30) -> Gpt:
    """A network whose weights are large enough for every part to matter."""
    model = build_gpt(vocabulary, **SIZES, seed=0, device=CPU)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10.0)
    return model


def test_a_later_character_changes_no_earlier_prediction() -> None:
    model, one = network(), torch.arange(8).unsqueeze(0)
    for place in range(8):
        other = one.clone()
        other[0, place] = 29
        changed = (model(one) - model(other)).abs().amax(dim=(0, 2)) > 0
        assert changed.tolist() == [later >= place for later in range(8)]


def test_embedding_and_head_are_one_matrix() -> None:
    model, characters = network(), torch.arange(8).unsqueeze(0)
    before = model(characters)
    with torch.no_grad():
        model.embedding.weight[20] *= -1.0  # of no character here: only its own logit changes
    after = model(characters)
    assert torch.equal(after[..., 20], -before[..., 20])
    assert torch.equal(after[..., :20], before[..., :20])
    width, blocks = SIZES["width"], SIZES["depth"] * (12 * SIZES["width"] ** 2 + 13 * SIZES["width"])
    assert sum(weight.numel() for weight in model.parameters()) == (30 + 8) * width + blocks + 2 * width


def test_an_untrained_network_guesses_uniformly() -> None:
    task = text_task(epochs=1, validation_characters=4096)
    result = train(config(task, lr=1e-12))
    assert result.loss == pytest.approx(math.log(len(set(builtin_text()))), abs=0.05)
    assert not result.diverged


@pytest.mark.parametrize("evaluate", ["validation", "final", "test"])
def test_every_character_is_in_one_part_and_predicted_once_an_epoch(evaluate: str, tmp_path: Path) -> None:
    data = dataclasses.replace(written(tmp_path), evaluate=evaluate)
    task, expected = text_task(), {"test": 96}.get(evaluate, 64)
    dataset = load(task, data, CPU)
    order = {letter: code for code, letter in enumerate(sorted(LETTERS))}
    codes = [order[letter] for letter in LETTERS]
    assert dataset.classes == len(LETTERS)
    generator, seen = torch.Generator().manual_seed(3), list[int]()
    for _ in range(6):
        draws = dataset.draw(task, generator)
        inputs, labels = dataset.batch(task, draws, 0, task.examples(evaluate))
        assert sorted(labels.flatten().tolist()) == codes[:expected]
        following = torch.where(inputs == expected - 1, 0, inputs + 1)  # the training part is a ring
        assert torch.equal(labels, following)
        seen.append(int(inputs.min(dim=0).values[0]))
    assert len(set(seen)) > 1  # cut at other places
    part = slice(64, 96) if evaluate == "validation" else slice(96, 120)
    assert dataset.evaluation_set.inputs.flatten().tolist() == codes[part]
    assert dataset.evaluation_set.labels.flatten().tolist() == [code + 1 for code in codes[part]]


def test_another_text_has_another_checksum(tmp_path: Path) -> None:
    own = load(text_task(), written(tmp_path), CPU).checksum
    assert own != load(text_task(), written(tmp_path, LETTERS[:-1] + "ä"), CPU).checksum
    assert own != load(text_task(), DataConfig(), CPU).checksum


def test_what_cannot_be_read_or_cut_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(LETTERS.encode("latin-1", "replace"))
    wrong = {
        "data.path": [
            *(DataConfig(path=str(tmp_path / name)) for name in ("nothing.txt", "latin.txt", "")),
            *(written(tmp_path, text, f"{len(text)}.txt") for text in ("", "a", 1000 * "a")),
        ],
        "task.train_characters": [written(tmp_path, LETTERS[:120], "short.txt")],
        "task.context": [written(tmp_path, LETTERS[:24], "shorter.txt")],
        "data.download": [DataConfig(download=True)],
    }
    for key, sources in wrong.items():
        for data in sources:
            with refused(DataError, key):
                load(text_task(), data, CPU)
    for key, changes in {
        "task.heads": {"heads": 3},
        "task.batch_size": {"batch_size": 9},
        "task.validation_characters": {"validation_characters": 7},
        "task.context": {"context": 0},
    }.items():
        with refused(ConfigError, key):
            text_task(**changes)


def test_a_run_repeats_to_the_bit_and_diverges_as_a_result() -> None:
    task = text_task(train_characters=1024, validation_characters=256)
    curves = [[repr(epoch.loss) for epoch in train(config(task, seed=seed)).epochs] for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]
    result = train(config(task, lr=1e6))
    assert result.diverged
    assert result.loss == math.inf


def test_the_objective_minimises_nats_and_can_be_pruned() -> None:
    task = text_task(train_characters=1024, validation_characters=256)
    recipe = {"schedule": Cosine(), "optimizer": AdamW(no_decay=True)}
    objective = ImageObjective(task, DataConfig(), "cpu", "fp32", 1, metric=Loss(), **recipe)  # type: ignore[arg-type]
    point = {"lr": 0.01, "beta1": 0.9, "wd": 0.1}
    seen: list[float] = []
    found = objective.measure({**point, "batch_size": 2}, [0], lambda number, total, value, seed: seen.append(value))
    assert (found.state, found.value, found.provenance["steps"]) == ("finished", seen[-1], 2 * 1024 // 8 // 2)
    assert seen[-1] < seen[0] < math.log(len(set(builtin_text())))
    pruned = objective.measure(point, [0], lambda *_: True)
    assert (pruned.state, pruned.value, len(pruned.curve)) == ("pruned", None, 1)
    assert objective.measure({**point, "lr": 1e6}, [0], lambda *_: None).value is None


def test_a_text_brings_its_recipe_along_and_a_choice_overrides_it() -> None:
    usual = composed("train", "task=text")
    assert (usual["optimizer"]["name"], usual["optimizer"]["no_decay"], usual["schedule"]["name"]) == (
        "adamw",
        True,
        "cosine",
    )
    assert (usual["clip_gradient"], usual["schedule"]["warmup_epochs"]) == (1, 0.6)
    assert composed("tune", "task=text_small")["chart"]["name"] == "adamw"
    assert composed("tune", "task=text_small")["metric"]["name"] == "loss"
    own = composed("tune", "task=text", "optimizer=sgd", "schedule=triangle", "metric=accuracy", "clip_gradient=null")
    names = [own[group]["name"] for group in ("optimizer", "schedule", "metric", "chart")]
    assert names == ["sgd", "triangle", "accuracy", "sgd"]
    assert (own["optimizer"]["no_decay"], own["schedule"]["warmup_epochs"], own["clip_gradient"]) == (False, None, None)
    assert composed("train", "task=text", "schedule=cdat")["clip_gradient"] is None
    for command in ("find-lr", "slices"):
        assert composed(command, "task=text")["optimizer"]["beta2"] == 0.99
    assert composed("train", "task=digits")["clip_gradient"] is None


@pytest.mark.slow
def test_characters_are_learned_in_their_order() -> None:
    sizes = {"context": 32, "width": 32, "depth": 1, "batch_size": 8, "epochs": 1}
    task = text_task(**sizes, train_characters=65536, validation_characters=16384, test_characters=32)
    counts = Counter(builtin_text())
    total = counts.total()
    unigram = -sum(count / total * math.log(count / total) for count in counts.values())
    result = train(config(task, clip_gradient=1.0))
    assert result.loss < unigram - 0.3
    assert 20.0 < result.accuracy < 100.0
    assert not result.at_chance


@pytest.mark.slow
def test_a_search_on_text_from_the_first_run_to_the_winner_trained_again(workplace: Path, command: Command) -> None:
    ended = command("tune", "task=text_small", *QUICK, "budget=3", "confirm=0", "clip_gradient=null", "precision=fp32")
    assert ended.code == 0, ended.err
    best = yaml.safe_load((workplace / "studies/text_small-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert (best["optimizer"]["name"], best["optimizer"]["no_decay"], best["schedule"]["name"]) == (
        "adamw",
        True,
        "cosine",
    )
    loss = float(re.search(r"best: run \d of 3, ([\d.]+) loss", ended.out)[1])  # type: ignore[index]
    for label in ("train with it", "or"):
        again = command(*printed_command(ended.out, label))
        assert float(re.search(r"loss ([\d.]+) after 32 steps", again.out)[1]) == pytest.approx(loss, abs=1e-4)  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    "pruner",
    ["rungs pruner.first_rung=1", "hyperband pruner.first_rung=1", "incumbent pruner.first=1 pruner.spread=0.05"],
)
def test_a_pruner_stops_runs_on_a_text(pruner: str, workplace: Path, command: Command) -> None:
    words = ["task=text_small", *QUICK, "task.epochs=4", "task.train_characters=4096", "box.lr=[1e-5,1e-2]"]
    search = ["search=random", "budget=6", "confirm=0", "seed=1"]
    ended = command("tune", *words, *search, *f"pruner={pruner}".split())
    assert ended.code == 0, ended.err
    assert "of 6, " in ended.out
    assert "pruned" in ended.out


@pytest.mark.slow
def test_another_text_is_another_study(workplace: Path, command: Command) -> None:
    (workplace / "own.txt").write_text(builtin_text()[:13000], encoding="utf-8")
    words = ["task=text_small", *QUICK, "data.path=own.txt"]
    search = ["start=typical", "budget=1", "confirm=0"]
    ended = command("tune", *words, *search)
    assert ended.code == 0, ended.err
    refusal = command("tune", *words[:-1], *search)
    assert refusal.code == 2
    assert "checksum of its text" in refusal.err
