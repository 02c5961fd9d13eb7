"""What to say of a study in which no run has finished: at which learning rates, and what to try."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import IDENTITY, PROVENANCE

if TYPE_CHECKING:
    from flatdirs.backend.study import Study

APART = 1000.0  # if failed learning rates span such a factor, a smaller one is no advice


def failure_line(study: Study) -> str:
    """A sentence on runs none of which has finished."""
    runs = study.runs()
    if not runs:
        return "no run has finished yet"
    name = next((name for name in ("sigma", "lr") if name in study.plan.grid.chart.hyperparameters), None)
    rates = [trial.user_attrs[SETTING]["hyperparameters"][name] for trial, _ in runs] if name else [0.0]
    low, high = min(rates), max(rates)
    at = f" at {name} from {low:.3g} to {high:.3g}" if name and len(runs) > 1 else ""
    if pruned := sum(outcome.state == "pruned" for _, outcome in runs):
        return f"none of {len(runs)} runs has finished{at}: {len(runs) - pruned} failed, the pruner stopped {pruned}"
    failed = f"all {len(runs)} runs failed{at}" if len(runs) > 1 else "the only run failed"
    task = study.optuna_study.user_attrs.get(IDENTITY, {}).get("task", {})
    of_command = "command" in task
    check = f"check {task['function']}" if task.get("function") else "check the data and the task"
    check = "check the command and runs/*/output.log" if of_command else check
    errors = [trial.user_attrs.get(PROVENANCE, {}).get("error") for trial, _ in runs]
    if error := next((error for error in reversed(errors) if error), None):
        return f"{failed}; {check}{': the last one' if of_command else ', which last raised'} {error}"
    if low > 0 and math.isfinite(high) and high / low > APART:
        return f"{failed}; {check}, as no learning rate helps"
    where = "start" if study.plan.on_grid else "box"
    advice = f"try a smaller {name if of_command else f'{where}.{name}'}" if name else f"try another {where}"
    return f"{failed}; {advice}, or {check}"
