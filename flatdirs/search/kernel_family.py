"""The kernels among which the runs decide: which product of hyperparameters is steep, and how far a run tells anything.

    k(z, z') = M(r) + ROUGH·M(ROUGHER·r) + CONSTANT + LINEAR·z·z',  M Matérn 5/2 of r = |z − z'|
    z(x) = octaves from the start, the first replaced by the steep coordinate Σ eᵢxᵢ, divided by lengths ℓ

Every candidate e (structure.py) with three lengths along the steep coordinate and RATIO times as long ones along the
others; equal lengths on the bare hyperparameters; around the likeliest of these, each length alone shorter and longer,
and powers of further hyperparameters in the steep coordinate. Where the constants are from: gp.py. Ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from flatdirs.search.structure import Structure
from flatdirs.space.log_grid import Array

Kernels = Literal["all", "bare", "chart", "steep"]

LENGTHS = {2.0: -1.5, 4.0: 0.0, 8.0: 0.0}  # octaves along the steep coordinate: log prior
RATIO, BARE_RATIO = 1.8, 1.25  # how much longer the others are; the same on the bare hyperparameters
BARE = math.log(0.5)  # log prior of equal lengths on the bare hyperparameters
SHORTER, LONGER, REFINED = 0.45, 2.2, -1.0  # factors of one length alone, and the log prior of each such change
POWERS = (-1.0, -0.5, 0.5, 1.0)  # of a further hyperparameter in the steep coordinate (ours, untried on surfaces)
CONSTANT, LINEAR, ROUGH, ROUGHER = 1.0, 0.3, 0.1, 3
CHUNK = 8192  # elements of a covariance that are computed together: they stay in the cache


class Kernel(NamedTuple):
    """Exponents (free,) of the steep coordinate, all 0 but the first for the bare hyperparameters; lengths (free,)."""

    exponents: tuple[float, ...]
    lengths: tuple[float, ...]
    log_prior: float
    bare: bool = False


def first_kernels(structure: Structure, which: Kernels = "all") -> list[Kernel]:
    """The kernels that are always weighed. `which`: "bare" hyperparameters alone, the first candidate of the steep
    coordinate alone ("chart"), all candidates without the bare ones ("steep"), or all.
    """
    count, found = len(structure.names), list[Kernel]()
    pairs = list(zip(structure.exponents.tolist(), structure.log_prior.tolist(), strict=True))
    for powers, prior in [(pairs[0][0], 0.0)] if which == "chart" else [] if which == "bare" else pairs:
        for length, told in LENGTHS.items():
            found.append(Kernel(tuple(powers), (length, *[length * RATIO] * (count - 1)), prior + told))
    alone = (1.0, *[0.0] * (count - 1))
    for length, told in LENGTHS.items() if which in ("all", "bare") else ():
        found.append(Kernel(alone, (length, *[length * BARE_RATIO] * (count - 1)), BARE + told, bare=True))
    return found


def refined(kernel: Kernel, unknown: Sequence[int] = ()) -> Iterator[Kernel]:
    """The kernel with each length alone shorter and longer, and with powers of what is `unknown` in its steep
    coordinate.
    """
    for axis in range(len(kernel.lengths)):
        for change in (SHORTER, LONGER):
            lengths = list(kernel.lengths)
            lengths[axis] *= change
            yield kernel._replace(lengths=tuple(lengths), log_prior=kernel.log_prior + REFINED)
    for axis in () if kernel.bare else unknown:
        for power in POWERS:
            exponents = (*kernel.exponents[:axis], power, *kernel.exponents[axis + 1 :])
            yield kernel._replace(exponents=exponents, log_prior=kernel.log_prior + REFINED)


def scaled(places: Array, kernel: Kernel) -> Array:
    """z (n, free) of places in octaves."""
    found: Array = places / np.array(kernel.lengths)
    found[:, 0] = places @ np.array(kernel.exponents) / kernel.lengths[0]
    return found


def covariance(places: Array, others: Array) -> Array:
    """k(z, z') (…, n, m) without scale and noise, of places (…, n, free) and others (…, m, free)."""
    inner = places @ np.swapaxes(others, -1, -2)
    found: Array = inner * -10.0
    found += 5.0 * (places**2).sum(axis=-1)[..., :, None]
    found += 5.0 * (others**2).sum(axis=-1)[..., None, :]
    every, products = found.reshape(-1), inner.reshape(-1)
    near, part = np.empty(min(CHUNK, every.size)), np.empty(min(CHUNK, every.size))
    for first in range(0, every.size, CHUNK):
        far = every[first : first + CHUNK]
        _from_squares(far, products[first : first + CHUNK], near[: far.size], part[: far.size])
    return found


def _from_squares(far: Array, inner: Array, near: Array, part: Array) -> None:
    """Put k(z, z') (n,) in the place of 5·r² (n,), given z·z'; `near` and `part` (n,) are overwritten."""
    np.sqrt(np.maximum(far, 1e-12, out=far), out=far)
    np.exp(np.negative(far, out=near), out=near)
    np.multiply(far, ROUGHER / 3.0, out=part)  # M(ROUGHER·r) = (1 + f + f²/3)·exp(−f), f = ROUGHER·√5·r
    part += 1.0
    part *= far
    part *= ROUGHER
    part += 1.0
    part *= ROUGH
    for _ in range(ROUGHER - 1):
        part *= near  # exp(−f) is a power of exp(−√5·r) …
    part += far  # … one factor of which M(r) shares
    part += 1.0
    far *= far
    far *= 1.0 / 3.0
    part += far
    part *= near
    inner *= LINEAR
    part += inner
    np.add(part, CONSTANT, out=far)
