"""Random shift, mirror and cutout for a whole epoch at once, on the device the images live on.

Nothing is padded and no image is looped over: a shift of the reflect-padded image is a choice of rows and columns of
the image itself, a mirror reverses the columns, so one gather of pixels does the reordering, the shift and the mirror
together. All random numbers of an epoch are drawn first (`draw`), the images are made from them in pieces (`apply`), so
the size of a piece bounds memory and never changes a result. Nothing here waits for the device.

The kinds (reflect pad 4, crop, flip, 8 × 8 cutout inside the image, filled with the mean, which is 0 after
normalisation) are those of the series reference/004 belongs to; that text itself does not list them. Dropped: a padded
copy of all images with views cut from it (1.6 × the memory).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flatdirs.training.task import ImageTask


@dataclass(frozen=True)
class Draws:
    """The random part of one epoch: one entry per position in the epoch, all tensors of shape (n,) on the device.

    `order` picks the image, `down` and `right` shift the window in pixels (−pad … pad), `mirror` flips left and right,
    `hole_row` and `hole_column` are the upper left corner of the cutout. None where the task does not use it.
    """

    order: Tensor
    down: Tensor | None = None
    right: Tensor | None = None
    mirror: Tensor | None = None
    hole_row: Tensor | None = None
    hole_column: Tensor | None = None


def draw(task: ImageTask, count: int, generator: torch.Generator) -> Draws:
    """Order and augmentation for one epoch over `count` images, from `generator` (which lives on the device)."""
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
    """Fold positions outside [0, size) back in, the edge pixel not repeated: −1 → 1, size → size − 2."""
    index = index.abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)


def apply(images: Tensor, draws: Draws, start: int, stop: int, cutout: int) -> Tensor:
    """The augmented images at positions start … stop − 1 of the epoch.

    Args:
        images: (n, channels, h, w), in channels-last order.
        draws: one epoch's random numbers.
        start: first position in the epoch.
        stop: one past the last.
        cutout: side of the blanked square in pixels; used where `draws` holds its corners.

    Returns:
        (stop − start, channels, h, w) in channels-last order, a new tensor.
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
    """Which row and which column of its image every output row and column shows: (n, height) and (n, width)."""
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
