"""The bands of W&B sweeps: at which of its values a run is compared. Pure, so that a configuration can be checked.

    min_iter, eta      int(min_iter·eta^i) for i = 0, 1, …
    max_iter, eta, s   int(max_iter/eta^i) for i = 1 … s, as long as that is 1 or more, the lowest first

Powers are made by multiplying (dividing) again and again, and cut to whole numbers only then, as the source does.
Source: wandb/sweeps, hyperband_stopping.py (pruners.py says which version).
"""

from __future__ import annotations

MOST_BANDS, LARGEST_BAND = 100, 2.0**53  # no run is longer


def bands_from(min_iter: int, eta: float) -> list[int]:
    """The bands of a first one and a factor above 1."""
    bands: list[int] = []
    band = float(min_iter)
    while len(bands) < MOST_BANDS and band < LARGEST_BAND:
        bands.append(int(band))
        band *= eta
    return bands


def bands_up_to(max_iter: int, eta: float, s: int) -> list[int]:
    """At most `s` bands below a last evaluation; none where max_iter/eta is below 1."""
    bands: list[int] = []
    band = max_iter / eta
    while len(bands) < s and band >= 1:
        bands.append(int(band))
        band /= eta
    return sorted(bands)


def bands_of(min_iter: int, eta: float, max_iter: int | None, s: int | None) -> list[int]:
    """Those of max_iter and s where both are given, else those of min_iter."""
    return bands_from(min_iter, eta) if max_iter is None or s is None else bands_up_to(max_iter, eta, s)
