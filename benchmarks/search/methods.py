"""Every search that is compared: `ask` gives a point and the number of its replicate, `tell` the run, `handed_over` what it would return."""

from __future__ import annotations

from typing import Any, Protocol

from benchmarks.search import split
from benchmarks.search.ours import Ours
from benchmarks.search.rivals import Cfo, Keep, Random, Study
from benchmarks.search.simulated import Told
from benchmarks.search.split import FROZEN, OURS, Condition, Hyperparameters


class Method(Protocol):
    """A search in the middle of a repetition."""

    def ask(self) -> tuple[Hyperparameters, int]: ...
    def tell(self, told: Told) -> None: ...
    def handed_over(self) -> Hyperparameters: ...


def make(condition: Condition, begin: Hyperparameters, seed: int) -> Method:
    """The method of a condition, at its start. Raises Absent where a package, or a setting of our search, is not here."""
    name = FROZEN[condition.method]["runs"] if condition.method in FROZEN else condition.method
    if name in OURS:
        return Ours(condition, OURS[name], begin)
    if name == "keep":
        return Keep(begin)
    names, box = split.names_of(condition.surface), split.box(condition.surface, condition.box)
    kinds: dict[str, Any] = {"random": Random, "cfo": Cfo}
    return kinds[name](names, box, begin, seed) if name in kinds else Study(name, names, box, begin, seed)
