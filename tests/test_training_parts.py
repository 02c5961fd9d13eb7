"""Task settings, network and augmentation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import yaml
from torch.nn.functional import pad as pad_images

from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder
from flatdirs.training import augment
from flatdirs.training.model import build_model
from flatdirs.training.task import DataConfig, ImageTask
from tests.refused import refused

CPU = torch.device("cpu")
NAMES = ("digits", "cifar10", "cifar10_small", "fashion_mnist")


def image_task(**changes: object) -> ImageTask:
    """A small task with some keys changed."""
    keys: dict[str, object] = {
        "name": "small",
        "dataset": "digits",
        "epochs": 2,
        "batch_size": 4,
        "width": 2,
        "image_size": 8,
        "train_images": 20,
        "validation_images": 10,
        "test_images": 10,
    }
    return ImageTask(**{**keys, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_file_is_a_task_with_documented_keys(name: str) -> None:
    text = (conf_folder() / "task" / f"{name}.yaml").read_text()
    lines, keys = text.splitlines(), yaml.safe_load(text)
    assert ImageTask(**keys).name == name
    assert set(keys) == {field.name for field in dataclasses.fields(ImageTask)}
    assert lines[0].startswith("# ")
    assert all("  # " in line for line in lines[1:])


WRONG = [
    *(("epochs", value) for value in (0, 1.5)),
    ("batch_size", 21),
    ("dataset", "mnist"),
    ("image_size", 7),
    ("pad", 8),
    ("cutout", 9),
    ("flip", 1),
    ("name", ""),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_task_setting_is_refused(key: str, value: object) -> None:
    with refused(ConfigError, f"task.{key}"):
        image_task(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("evaluate", "foo"), ("download", "yes"), ("path", "")])
def test_a_wrong_data_setting_is_refused(key: str, value: object) -> None:
    with refused(ConfigError, f"data.{key}"):
        DataConfig(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (16, 3), (8, 1)])
def test_the_network_takes_every_image_size(size: int, channels: int) -> None:
    model = build_model(channels, 10, 4, 0, CPU)
    logits = model(torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (3, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_network_has_the_size_of_myrtles() -> None:
    parameters = sum(parameter.numel() for parameter in build_model(3, 10, 64, 0, CPU).parameters())
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    norms = 2 * (64 + 3 * 128 + 256 + 3 * 512)
    assert parameters == convolutions + norms + 512 * 10 == 6_573_120


def test_weights_come_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (list(build_model(1, 10, 2, seed, CPU).parameters()) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(state, torch.get_rng_state())


def coloured_images(count: int, size: int, channels: int = 3) -> torch.Tensor:
    """Images without two equal pixels, channels-last."""
    values = torch.arange(1, count * size * size * channels + 1, dtype=torch.float32)
    return values.view(count, size, size, channels).permute(0, 3, 1, 2)


def test_a_crop_is_a_shift_of_the_reflected_image() -> None:
    images, pad = coloured_images(40, 8), 3
    task = image_task(pad=pad)
    draws = augment.draw(task, 40, torch.Generator().manual_seed(1))
    assert draws.down is not None
    assert draws.right is not None
    assert {int(shift) for shift in draws.down} == set(range(-pad, pad + 1))
    padded = pad_images(images, (pad,) * 4, mode="reflect")
    result = augment.apply(images, draws, 0, 40, 0)
    for position in range(40):
        down, right = int(draws.down[position]) + pad, int(draws.right[position]) + pad
        window = padded[draws.order[position], :, down : down + 8, right : right + 8]
        assert torch.equal(result[position], window)


def test_half_of_the_images_are_mirrored() -> None:
    images = coloured_images(400, 8)
    draws = augment.draw(image_task(flip=True), 400, torch.Generator().manual_seed(1))
    assert draws.mirror is not None
    assert 150 < int(draws.mirror.sum()) < 250
    result = augment.apply(images, draws, 0, 400, 0)
    for position in range(400):
        image = images[draws.order[position]]
        assert torch.equal(result[position], image.flip(2) if draws.mirror[position] else image)


def test_cutout_blanks_one_square_inside_the_image() -> None:
    images = coloured_images(200, 8)
    draws = augment.draw(image_task(cutout=3), 200, torch.Generator().manual_seed(1))
    blank = augment.apply(images, draws, 0, 200, 3) == 0
    assert torch.equal(blank.sum(dim=(1, 2, 3)), torch.full((200,), 3 * 3 * 3))
    assert torch.equal(blank.any(dim=1).any(dim=2).sum(dim=1), torch.full((200,), 3))
    assert blank[:, 0].any(dim=0).all()  # every pixel is hit some time
    assert images.min() > 0  # the originals stay whole


def test_pieces_of_an_epoch_add_up_to_the_epoch() -> None:
    images = coloured_images(20, 8)
    draws = augment.draw(image_task(pad=2, flip=True, cutout=2), 20, torch.Generator().manual_seed(5))
    whole = augment.apply(images, draws, 0, 20, 2)
    pieces = [augment.apply(images, draws, start, min(start + 7, 20), 2) for start in range(0, 20, 7)]
    assert torch.equal(whole, torch.cat(pieces))
    assert whole.is_contiguous(memory_format=torch.channels_last)


def test_without_augmentation_an_epoch_is_a_permutation() -> None:
    images = coloured_images(20, 8, channels=1)
    draws = augment.draw(image_task(), 20, torch.Generator().manual_seed(5))
    assert sorted(draws.order.tolist()) == list(range(20))
    assert torch.equal(augment.apply(images, draws, 0, 20, 0), images[draws.order])
