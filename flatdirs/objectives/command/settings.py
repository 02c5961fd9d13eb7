"""What of a command makes a study (`CommandTask`), and how its runs are made (`RunSettings`, the keys `run.*`)."""

from __future__ import annotations

from dataclasses import dataclass

from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.run_folder import Keep
from flatdirs.setting_checks import require_choice, require_integer, require_number


@dataclass(frozen=True)
class RunSettings:
    """The keys `run.*`, see conf/tune.yaml."""

    keep: Keep = "best"
    cwd: str = "here"
    minutes: float | None = None
    grace_seconds: float = 10.0
    gpus: int | None = None
    share: bool = False

    def __post_init__(self) -> None:
        require_choice("run.cwd", self.cwd, ("here", "run_dir"))
        require_number("run.grace_seconds", self.grace_seconds, 0)
        if self.minutes is not None:
            require_number("run.minutes", self.minutes, 0, above=True)
        if self.gpus is not None:
            require_integer("run.gpus", self.gpus, 0)


@dataclass(frozen=True)
class CommandTask:
    """What of a command makes a study. `command`: as it stands, its numbers included, with secrets masked."""

    name: str
    command: str
    metric: MetricConfig
    unit: str = ""
