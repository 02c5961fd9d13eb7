"""What the first run of a command tells: what a run costs, and whether several may run at once."""

from __future__ import annotations

from flatdirs.backend.study import Study
from flatdirs.backend.trials import PROVENANCE
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Measurement
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.tuning.confirm import race_runs
from flatdirs.tuning.formatting import duration
from flatdirs.tuning.settings import TuneConfig


def may_share(config: TuneConfig, study: Study) -> bool:
    """Whether further workers may begin: with a command after its first run.

    Raises ConfigError (workers) where that run wrote files outside its folder, which all runs would write.
    """
    if not isinstance(config.objective, CommandObjective):
        return True
    runs = study.runs()
    if runs and config.workers > 1 and not config.anyway:
        written = runs[0][0].user_attrs.get(PROVENANCE, {}).get("written") or []
        if written:
            raise ConfigError(
                f"workers={config.workers} would let several runs write {written[0]}; write into {{run_dir}}, as in "
                f"--out {{run_dir}}, or set workers=1 or anyway=true",
                key="workers",
            )
    return bool(runs)


def after_first_run(config: TuneConfig, study: Study, first: Measurement, expected: float | None) -> list[str]:
    """What to say of a first run, and what the budget will take where only that run could tell."""
    lines, limits = list(first.notes), config.limits
    if expected is not None:
        return lines
    if limits.budget == 1 and not limits.confirm:
        return [*lines, f"a run takes {duration(first.seconds)}"]
    whole = first.seconds * (limits.budget - 1) / config.workers
    racing = race_runs(config, study)
    confirm = f", confirming at most {duration(first.seconds / config.repeats * racing)}" if racing else ""
    return [
        *lines,
        f"a run takes {duration(first.seconds)}: the rest of the budget takes about {duration(whole)}{confirm}",
    ]
