"""Small matrices of exact numbers: the exponents of a chart and their inverse.

Entries are whole numbers (int) where they can be and fractions elsewhere, so that steps along axes and the values that
follow from them are known without rounding; they become floats last.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

Exact = int | Fraction
Rows = tuple[tuple[Exact, ...], ...]


def exact(value: object) -> Exact:
    """A number as it is written, exactly: 1/2 for 0.5, "1/2" and "0.5". Raises ValueError for what is no number."""
    if isinstance(value, bool):
        raise ValueError(f"{value}")
    try:
        found = (
            value if isinstance(value, Fraction) else Fraction(text if "/" in (text := str(value)) else _decimal(text))
        )
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{value}") from None
    return _plain(found)


def is_whole(rows: Rows) -> bool:
    """Whether all entries are whole numbers."""
    return all(isinstance(entry, int) for row in rows for entry in row)


@lru_cache(maxsize=256)
def inverted(rows: Rows) -> Rows | None:
    """The inverse of a square matrix, by Gauss-Jordan elimination; None where there is none."""
    size = len(rows)
    if any(len(row) != size for row in rows):
        return None
    work = [[Fraction(entry) for entry in row] + [Fraction(n == m) for m in range(size)] for n, row in enumerate(rows)]
    for column in range(size):
        pivot = next((n for n in range(column, size) if work[n][column]), None)
        if pivot is None:
            return None
        work[column], work[pivot] = work[pivot], work[column]
        scale = work[column][column]
        work[column] = [entry / scale for entry in work[column]]
        for n, row in enumerate(work):
            if n != column and (factor := row[column]):
                work[n] = [mine - factor * other for mine, other in zip(row, work[column], strict=True)]
    return tuple(tuple(map(_plain, row[size:])) for row in work)


@lru_cache(maxsize=256)
def condition(rows: Rows) -> float:
    """The condition number (ratio of singular values) of a square matrix that can be inverted; 1 without axes."""
    if not rows:
        return 1.0
    try:
        return float(np.linalg.cond(np.array(rows, dtype=np.float64)))
    except (OverflowError, np.linalg.LinAlgError):
        return math.inf


def _decimal(text: str) -> str:
    """A number in the digits of a float, which are few: 1e-999999999 has too many for a fraction."""
    return repr(float(text))


def _plain(value: Fraction) -> Exact:
    return int(value) if value.denominator == 1 else value
