"""What a search hands over, and why: the start or what replaces it. Stored with the study, read by all that tell of it.

tuning/confirm.py makes it once the last run has ended. It counts as long as the study has no further runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flatdirs.search.race import START, Lead

VERDICT = "flatdirs:verdict"
INCUMBENT, RUNNER_UP = "incumbent", "runner-up"

# race: the race is over; unfinished: it was cut short; unconfirmed: there was none; deterministic: none is needed
Basis = Literal["race", "unfinished", "unconfirmed", "deterministic"]


@dataclass(frozen=True)
class Verdict:
    """What is handed over: `handed_over` is "start", "incumbent" or "runner-up", `hyperparameters` are its own.

    `run`, `trial`: its first finished run in the search and the trial of that, None where it has none. `leads`: of each
    candidate over the start with fresh seeds. `sentence`: the answer in words.
    """

    handed_over: str
    hyperparameters: Mapping[str, Any]
    basis: Basis
    sentence: str
    run: int | None = None
    trial: int | None = None
    leads: Mapping[str, Lead] = field(default_factory=dict)

    @property
    def keeps_start(self) -> bool:
        """Whether the start is handed over."""
        return self.handed_over == START

    @property
    def confirmed(self) -> bool:
        """Whether fresh seeds have decided, or none are needed."""
        return self.basis in ("race", "deterministic")


def verdict_record(verdict: Verdict, runs: int) -> dict[str, Any]:
    """What a study stores of a verdict. `runs`: of the study when it was made."""
    return {**asdict(verdict), "runs": runs}


def stored_verdict(attributes: Mapping[str, Any], runs: int) -> Verdict | None:
    """The verdict among the attributes of a study that has so many runs; None where none was made after the last."""
    record = dict(attributes.get(VERDICT, {}))
    if not record or record.pop("runs") != runs:
        return None
    leads = {name: Lead(tuple(own["gains"]), own["lost"], own["won"]) for name, own in record.pop("leads").items()}
    return Verdict(**record, leads=leads)
