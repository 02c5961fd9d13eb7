"""The toy model's three figures as rows: a constant rate, tuners, and CDAT in the loop.

With a constant rate and with η = c/s the toy is as it stands in toy.py, to the last step or until it is lost. For CDAT its rule needs the rest of the
gradient: of squared size g² along directions of curvature κ. Then n = (sx)² + g², d = s(sx)² + κg² and η = σn/d, at most
`CAP`. g and κ are ours, and the outcome hangs on them (`Toy` is the source's): with σ = 2 sharpness is held for these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cdat.toy import Toy, alive

CAP, REST, CURVATURE = 1.0, 0.1, 2.5
STEPS, KEPT = 4000, 200
CONSTANT = 0.38
TUNERS = (1.0, 1.9)
CLOSED = (1.0, 1.9, 2.0, 2.1)

Path = list[tuple[float, float, float]]


def closed(toy: Toy, sigma: float, steps: int) -> Path:
    """(x, s, η) before each step, CDAT's rule in the loop; ends where the sharpness is used up."""
    x, s, path = toy.x, toy.sharpness, []
    for _ in range(steps):
        along, rest = (s * x) ** 2, REST**2
        eta = min(sigma * (along + rest) / (s * along + CURVATURE * rest), CAP)
        path.append((x, s, eta))
        x, s = toy.step(x, s, eta)
        if not alive(x, s):
            break
    return path


def every() -> Iterator[tuple[str, float, Path]]:
    """(kind, its number, path) of every line of the figures."""
    toy = Toy()
    yield "constant", CONSTANT, toy.run(lambda _: CONSTANT, STEPS)
    for c in TUNERS:
        yield "tuner", c, toy.run(lambda s, c=c: c / s, STEPS)  # type: ignore[misc]
    for sigma in CLOSED:
        yield "cdat", sigma, closed(toy, sigma, STEPS)


def rows() -> list[dict[str, Any]]:
    """Rows of toy.csv, thinned."""
    found = []
    for kind, number, path in every():
        stride = max(1, len(path) // KEPT)
        for step, (x, s, eta) in enumerate(path):
            if step % stride == 0 or step == len(path) - 1:
                found.append(
                    {
                        "kind": kind,
                        "number": f"{number:g}",
                        "step": step,
                        "x": f"{x:.6g}",
                        "sharpness": f"{s:.6g}",
                        "rate": f"{eta:.6g}",
                    }
                )
    return found
