"""Random shift, mirror and cutout for a whole epoch at once, on the device of the images.

A shift of the reflect-padded image selects rows and columns of the image itself, and a mirror reverses the columns, so
one gather of pixels does the reordering, the shift and the mirror. All random numbers of an epoch are drawn first
(`draw`); the images are then made in chunks (`apply`), so the size of a chunk bounds memory and never changes a result.
Nothing here waits for the device.

Reflect padding, crop, flip and an 8 × 8 cutout filled with the mean are the augmentations of
https://myrtle.ai/learn/how-to-train-your-resnet/.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flatdirs.training.task import ImageTask


@dataclass(frozen=True)
class Draws:
    """The random numbers of one epoch: one entry per position in the epoch, all tensors of shape (n,) on the device.

    `order` selects the image, `down` and `right` shift the window in pixels (−pad … pad), `mirror` flips left and
    right, `hole_row` and `hole_column` are the upper left corner of the cutout. None: not used by the task.
    """

    order: Tensor
    down: Tensor | None = None
    right: Tensor | None = None
    mirror: Tensor | None = None
    hole_row: Tensor | None = None
    hole_column: Tensor | None = None


def draw(task: ImageTask, count: int, generator: torch.Generator) -> Draws:
    """Draw the order and the augmentation of one epoch over `count` images; `generator` is on the device."""
    device = generator.device

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), generator=generator, device=device)

    order = torch.randperm(count, generator=generator, device=device)
    down = right = mirror = hole_row = hole_column = None
    if task.pad > 0:
        down, right = integers(-task.pad, task.pad), integers(-task.pad, task.pad)
    if task.flip:
        mirror = integers(0, 1) == 1
    if task.cutout > 0:
        last = task.image_size - task.cutout
        hole_row, hole_column = integers(0, last), integers(0, last)
    return Draws(order, down, right, mirror, hole_row, hole_column)


def reflect(index: Tensor, size: int) -> Tensor:
    """Fold positions outside [0, size) back in without repeating the edge pixel: −1 → 1, size → size − 2."""
    index = index.abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)


def apply(images: Tensor, draws: Draws, start: int, stop: int, cutout: int) -> Tensor:
    """The augmented images at positions start … stop − 1 of the epoch.

    Args:
        images: (n, channels, h, w), channels-last.
        draws: the random numbers of the epoch.
        start: first position in the epoch.
        stop: one past the last.
        cutout: side of the blanked square in pixels; used if `draws` has its corners.

    Returns:
        (stop − start, channels, h, w), channels-last, a new tensor.
    """
    pixels = images.permute(0, 2, 3, 1)
    count, (height, width, channels) = stop - start, pixels.shape[1:]
    order = draws.order[start:stop]
    if draws.down is None and draws.mirror is None:
        chosen = pixels.index_select(0, order)
    else:
        rows, columns = _source_pixels(draws, start, stop, height, width)
        index = (order.view(-1, 1, 1) * height + rows.unsqueeze(2)) * width + columns.unsqueeze(1)
        chosen = pixels.reshape(-1, channels).index_select(0, index.view(-1)).view(count, height, width, channels)
    if draws.hole_row is not None and draws.hole_column is not None:
        inside_rows = _inside(draws.hole_row[start:stop], cutout, height)
        inside_columns = _inside(draws.hole_column[start:stop], cutout, width)
        hole = inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)
        chosen.masked_fill_(hole.unsqueeze(3), 0.0)
    return chosen.permute(0, 3, 1, 2)


def _source_pixels(draws: Draws, start: int, stop: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The source row and column of every output row and column: (n, height) and (n, width)."""
    device = draws.order.device
    rows = torch.arange(height, device=device).expand(stop - start, height)
    columns = torch.arange(width, device=device).expand(stop - start, width)
    if draws.mirror is not None:
        columns = torch.where(draws.mirror[start:stop].unsqueeze(1), width - 1 - columns, columns)
    if draws.down is not None and draws.right is not None:
        rows = reflect(rows + draws.down[start:stop].unsqueeze(1), height)
        columns = reflect(columns + draws.right[start:stop].unsqueeze(1), width)
    return rows, columns


def _inside(corner: Tensor, side: int, size: int) -> Tensor:
    """True at the positions corner … corner + side − 1: (n,) → (n, size)."""
    offset = torch.arange(size, device=corner.device) - corner.unsqueeze(1)
    return (offset >= 0) & (offset < side)
