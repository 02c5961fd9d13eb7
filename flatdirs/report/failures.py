"""What to say of a study in which no run has finished: at which rates, and whether these may be at fault."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import IDENTITY, PROVENANCE

if TYPE_CHECKING:
    from flatdirs.backend.study import Study

APART = 1000.0  # times: rates so far apart that a smaller one is no advice any more


def failure_line(study: Study) -> str:
    """A sentence on runs none of which has finished."""
    runs = study.runs()
    if not runs:
        return "no run has finished yet"
    pruned = sum(outcome.state == "pruned" for _, outcome in runs)
    name = next((name for name in ("sigma", "lr") if name in study.plan.grid.chart.hyperparameters), None)
    places = [trial.user_attrs[SETTING]["hyperparameters"] for trial, _ in runs]
    low, high = (end((place[name] for place in places), default=0.0) if name else 0.0 for end in (min, max))
    at = f", at {name} from {low:.3g} to {high:.3g}" if name and len(runs) > 1 else ""
    if pruned:
        return f"none of {len(runs)} runs has finished{at}: {len(runs) - pruned} failed, the pruner stopped {pruned}"
    whole = f"all {len(runs)} runs failed{at}" if len(runs) > 1 else "the only run failed"
    task = study.optuna_study.user_attrs.get(IDENTITY, {}).get("task", {})
    fault = f"{task['function']} itself" if task.get("function") else "the data or the task"
    errors = [trial.user_attrs.get(PROVENANCE, {}).get("error") for trial, _ in runs]
    if error := next((error for error in reversed(errors) if error), None):
        return f"{whole}: {fault} may be at fault; it last raised {error}"
    advice = f"try a smaller start.{name}" if name else "try another start"
    if not study.plan.on_grid:
        advice = f"try a smaller box.{name}" if name else "try another box"
    if low > 0 and math.isfinite(high) and high / low > APART:
        return f"{whole}: {fault} may be at fault, as no rate helps"
    return f"{whole}: {advice}; where none helps, {fault} may be at fault"
