"""What one training run told the search, and what counts as better.

An `Outcome` is all a search ever sees of a run; higher scores are better, whichever way the study optimises.
`judge` compares two of them. Where both accuracies cannot be told from guessing, the validation loss decides, so
that a start that learns nothing yet still shows the way; this and the plateau rule are ours, the source compares
accuracies only (reference/004).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from flatdirs.errors import ConfigError

State = Literal["finished", "diverged", "pruned"]
Judgement = Literal["better", "tie", "worse"]


@dataclass(frozen=True)
class Outcome:
    """One run's result: `score` (higher is better; −inf for none), `loss` on held-out data, and `at_chance`.

    `at_chance` is True where the accuracy lies within three binomial standard deviations of guessing, None where
    nobody knows what guessing would give. `relaxation`: T·lr·wd/(1−momentum), how often the weights forget where they were in a
    run of T steps; None where nobody knows. `guess` marks an answer that was assumed, not measured (replay.py).
    """

    state: State = "finished"
    score: float = -math.inf
    loss: float | None = None
    at_chance: bool | None = None
    relaxation: float | None = None
    guess: Judgement | None = None


@dataclass(frozen=True)
class Rules:
    """What counts as a gain. `min_gain` is in units of the score (percentage points for accuracies).

    `diverged`: "worst" ranks such a run below every finished one; "value" takes the number it left. A pruned run is
    always worst: its number is one of a run that is not at its end. `plateau_limit`: how many steps in a row the search
    walks on while nothing at all changes.
    """

    min_gain: float = 0.0
    diverged: str = "worst"
    plateau_limit: int = 12

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_gain) and self.min_gain >= 0):
            raise ConfigError(f"search.min_gain={self.min_gain} must be 0 or more; change search.min_gain")
        if self.diverged not in ("worst", "value"):
            raise ConfigError(f"search.diverged={self.diverged} must be worst or value; change search.diverged")
        if self.plateau_limit < 0:
            raise ConfigError(f"search.plateau_limit={self.plateau_limit} must be 0 or more; change it")

    def score(self, outcome: Outcome) -> float:
        """The score as these rules count it."""
        rule = {"finished": "value", "diverged": self.diverged, "pruned": "worst"}[outcome.state]
        usable = rule == "value" and not math.isnan(outcome.score)
        return outcome.score if usable else -math.inf


def judge(candidate: Outcome, incumbent: Outcome, rules: Rules) -> Judgement:
    """Whether the candidate is better than the incumbent, worse, or a tie."""
    if candidate.guess is not None:
        return candidate.guess
    if incumbent.guess is not None:
        return "worse"
    if guessing(candidate, rules) and guessing(incumbent, rules):
        if candidate.loss is None or incumbent.loss is None:
            return "tie"
        return _compare(incumbent.loss - candidate.loss, 0.0)
    new, old = rules.score(candidate), rules.score(incumbent)
    return "tie" if new == old else _compare(new - old, rules.min_gain)


def guessing(outcome: Outcome, rules: Rules) -> bool:
    """Whether a run that ended as it should did no better than chance."""
    return outcome.at_chance is True and outcome.state == "finished" and rules.score(outcome) > -math.inf


def _compare(gain: float, margin: float) -> Judgement:
    if gain > margin:
        return "better"
    return "worse" if gain < -margin else "tie"
