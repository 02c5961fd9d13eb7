"""The interface between a search and what it tunes: an `Objective` trains at given hyperparameters and seeds, and
returns a `Measurement`.

image.py trains an image task with our trainer, function.py calls a user's function, command/ runs a user's command. A
run that diverges is a result like any other (`Measurement.state`), not an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

State = Literal["finished", "diverged", "pruned"]

# Called after each evaluation or report with: how many the current run has done (of a user's function: its own step),
# of how many (None: unknown), the value (nan: none yet), the index of the seed. True stops the run: it is pruned.
Progress = Callable[[int, int | None, float, int], bool | None]


@dataclass(frozen=True)
class RunInfo:
    """Which run is being made. `number`: as tables show it; None for one that confirms. `label`: such as 0007.

    `study`: its name; `folder`: its folder, None where a study has none.
    """

    study: str
    number: int | None
    label: str
    folder: Path | None


@dataclass(frozen=True)
class Measurement:
    """The result at one point of the search space, over one or several seeds.

    `value` is in the unit of the study (percent for accuracies), None if there is none. A pruned run has no value;
    `partial` is its last report. `accuracy` is in percent, whatever the metric. `steps`: learning rate and gradient
    norm of the first seed at every `every`-th step. `timescales`: weight-decay timescales in a run,
    T·lr·wd/(1−momentum), None if unknown. `curvature`: one mapping per seed with a list for each field of
    CurvatureRecord, empty if not measured. `failure`: why a command gave no value although nothing diverged, such as
    "exited with code 3"; `log`: the last lines that it printed; `out_of_memory`: whether it ran out of that. `notes`:
    what to say once, after a first run; `written`: files outside its own folder that the run wrote.
    """

    state: State
    value: float | None
    loss: float | None = None
    at_chance: bool | None = None
    seconds: float = 0.0
    curve: tuple[Mapping[str, float | None], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timescales: float | None = None
    accuracy: float | None = None
    partial: float | None = None
    steps: Mapping[str, Any] = field(default_factory=dict)
    curvature: tuple[Mapping[str, Any], ...] = ()
    failure: str | None = None
    log: str = ""
    out_of_memory: bool = False
    notes: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


class Objective(Protocol):
    """What is tuned."""

    @property
    def unit(self) -> str:
        """The unit of a value in tables: % for accuracies."""

    @property
    def total(self) -> int | None:
        """Evaluations of one run, None if unknown."""

    @property
    def takes_seed(self) -> bool:
        """Whether a run is given its seed; without one, each run is a fresh draw."""

    def code(self) -> Mapping[str, str]:
        """Checksums of the user's code, by the name of each part; a change is said. Empty: none of it is the user's."""

    def measure(
        self,
        hyperparameters: Mapping[str, Any],
        seeds: Sequence[int],
        progress: Progress,
        final: bool = False,
        run: RunInfo | None = None,
    ) -> Measurement:
        """Train once per seed, until `progress` returns True. `final`: evaluate on the test set if there is one."""

    def fingerprint(self) -> str:
        """A checksum of the data; a study of other data is another study."""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Estimated time of one run on this machine, None if unknown."""
