"""Loading images: splits and normalisation of good files, errors for bad ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flatdirs.errors import DataError
from flatdirs.training.data import load
from flatdirs.training.task import DataConfig, ImageTask
from tests.refused import refused
from tests.test_training_parts import image_task

CPU = torch.device("cpu")


def colour_task(**changes: object) -> ImageTask:
    """A task on twenty CIFAR-like images."""
    keys: dict[str, object] = {"dataset": "cifar10", "image_size": 16, "validation_images": 5}
    keys |= {"train_images": 12, "test_images": 6}
    return image_task(**{**keys, **changes})


def arrays(size: int = 16, channels: int = 3, train: int = 20, test: int = 8) -> dict[str, Any]:
    """Four arrays in the Keras layout."""
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (train, size, size, channels), dtype=np.uint8),
        "y_train": (np.arange(train) % 10).reshape(-1, 1),
        "x_test": generator.integers(0, 256, (test, size, size, channels), dtype=np.uint8),
        "y_test": np.arange(test) % 10,
    }


def written(folder: Path, **changes: Any) -> Path:
    """A .npz of `arrays()` with some arrays changed; None leaves one out."""
    path = folder / "images.npz"
    held = {**arrays(), **changes}
    np.savez(path, **{name: array for name, array in held.items() if array is not None})
    return path


def refuse(path: Path, task: ImageTask | None = None, word: str = "", **data: Any) -> None:
    """Loading from `path` is refused, naming data.path."""
    with refused(DataError, "data.path", word):
        load(task or colour_task(), DataConfig(path=str(path), **data), CPU)


def test_a_npz_is_split_normalised_and_kept(tmp_path: Path) -> None:
    data = DataConfig(path=str(written(tmp_path)))
    dataset = load(colour_task(), data, CPU)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [12, 5, 6]
    assert (dataset.channels, dataset.classes) == (3, 10)
    assert dataset.train.inputs.shape == (12, 3, 16, 16)
    assert dataset.train.inputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(dataset.train.inputs.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(dataset.train.inputs.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    assert dataset.evaluation_set is dataset.validation
    assert load(colour_task(), data, CPU) is dataset


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    data = DataConfig(path=str(written(tmp_path)))
    before = load(colour_task(), data, CPU)
    written(tmp_path, y_train=np.full(21, 3), x_train=arrays(train=21)["x_train"])
    assert load(colour_task(), data, CPU) is not before


def test_large_images_are_averaged(tmp_path: Path) -> None:
    large = arrays(size=32)
    whole = load(colour_task(image_size=32), DataConfig(path=str(written(tmp_path, **large))), CPU)
    small = load(colour_task(), DataConfig(path=str(tmp_path / "images.npz")), CPU)
    averaged = torch.nn.functional.avg_pool2d(whole.train.inputs, 2)
    scale = averaged.std(dim=(0, 2, 3), correction=0)
    expected = (averaged - averaged.mean(dim=(0, 2, 3)).view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1)
    assert torch.allclose(small.train.inputs, expected, atol=1e-5)


def test_the_test_protocol_trains_on_everything(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    tuning = load(colour_task(), DataConfig(path=path), CPU)
    final = load(colour_task(), DataConfig(path=path, evaluate="test"), CPU)
    assert len(final.train) == 17
    assert len(final.validation) == 0
    assert final.evaluation_set is final.test
    labels = torch.cat([tuning.train.labels, tuning.validation.labels])
    assert torch.equal(final.train.labels, labels)


def test_splits_are_disjoint_and_cover(tmp_path: Path) -> None:
    marks = np.arange(20, dtype=np.uint8)
    path = written(tmp_path, x_train=np.broadcast_to(marks[:, None, None, None], (20, 16, 16, 3)))
    dataset = load(colour_task(train_images=12, validation_images=8), DataConfig(path=str(path)), CPU)
    seen = [round(float(image[0, 0, 0]), 4) for part in (dataset.train, dataset.validation) for image in part.inputs]
    assert len(set(seen)) == 20


def test_digits_need_no_file_and_are_disjoint() -> None:
    task = image_task(train_images=300, validation_images=1000, test_images=497)
    dataset = load(task, DataConfig(), CPU)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) for part in parts] == [300, 1000, 497]
    rows = torch.cat([part.inputs.flatten(1) for part in parts])
    assert len(torch.unique(rows, dim=0)) == 1797
    assert int(torch.bincount(dataset.train.labels).min()) > 15


def test_digits_that_do_not_suffice() -> None:
    with refused(DataError, "task.train_images"):
        load(image_task(train_images=1797), DataConfig(), CPU)
    with refused(DataError, "task.image_size"):
        load(image_task(image_size=16), DataConfig(), CPU)


def test_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(tmp_path / "nowhere.npz", word="data.download=true")
    for task in (colour_task(), colour_task(dataset="fashion_mnist", image_size=28)):
        refuse(tmp_path, task, "data.download=true")
    monkeypatch.chdir(tmp_path)
    with refused(DataError, "data.path"):
        load(colour_task(), DataConfig(), CPU)


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    refuse(tmp_path, word="no route to host", download=True)


@pytest.mark.parametrize("kept", [0, 0.3, 0.999])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    refuse(path)


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[400:500] = bytes(byte ^ 255 for byte in content[400:500])
    for wrong in (bytes(content), b"not a zip", pickle.dumps({"x_train": 1})):
        path.write_bytes(wrong)
        refuse(path)
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    refuse(path)
    refuse(written(tmp_path, y_train=np.array([{}] * 20, dtype=object)))


BAD_ARRAYS = {
    "missing": {"x_test": None, "y_test": None},
    "label too high": {"y_train": np.full(20, 10)},
    "label too low": {"y_test": np.arange(8) - 1},
    "float labels": {"y_train": np.zeros(20)},
    "one-hot labels": {"y_train": np.zeros((20, 10), dtype=int)},
    "fewer labels": {"y_train": np.zeros(19, dtype=int)},
    "channels first": {"x_train": np.zeros((20, 3, 16, 16), np.uint8)},
    "grey": {"x_train": np.zeros((20, 16, 16), np.uint8)},
    "flat": {"x_train": np.zeros((20, 768), np.uint8)},
    "float images": {"x_train": np.zeros((20, 16, 16, 3))},
    "no multiple": {"x_train": np.zeros((20, 24, 24, 3), np.uint8)},
    "another size": {"x_test": np.zeros((8, 32, 32, 3), np.uint8)},
    "too few": {"x_test": np.zeros((5, 16, 16, 3), np.uint8), "y_test": np.zeros(5, int)},
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_do_not_fit(tmp_path: Path, case: str) -> None:
    refuse(written(tmp_path, **BAD_ARRAYS[case]))


def test_grey_images_may_lack_the_channel(tmp_path: Path) -> None:
    grey = {name: array[..., 0] if name.startswith("x") else array for name, array in arrays(size=28).items()}
    task = colour_task(dataset="fashion_mnist", image_size=28)
    assert load(task, DataConfig(path=str(written(tmp_path, **grey))), CPU).train.inputs.shape == (12, 1, 28, 28)


def test_torchvisions_cifar10_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = np.zeros((4, 3072), dtype=np.uint8)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [0, 1, 2, 3]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    dataset = load(colour_task(image_size=32, test_images=4), DataConfig(path=str(tmp_path)), CPU)
    assert dataset.train.inputs.shape == (12, 3, 32, 32)
    (folder / "test_batch").write_bytes(b"\x80cut")
    refuse(tmp_path, colour_task(image_size=32, test_images=3))
