"""The plugin's class. Everything but Hydra's own is imported when a sweep begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class FlatdirsSweeper(Sweeper):
    """Finds good values of the hyperparameters of an app whose main returns a number. `keys`: see config.py."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives, and make the launcher."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search. `arguments`: the app's overrides on the command line, which every job gets.

        What a user can correct ends it with one sentence, a job's exception with that; Hydra's exit code is 1 for both.
        Returns what is written to optimization_results.yaml.
        """
        from hydra.errors import CompactHydraException

        from flatdirs.errors import FlatdirsError
        from hydra_plugins.flatdirs_sweeper import _search

        try:
            return _search.sweep(self, arguments)
        except FlatdirsError as error:
            sentence, raised = _search.in_hydras_words(str(error)), error.__cause__
            if isinstance(error, _search.JobError) and raised is not None and raised.__traceback__ is not None:
                _search.log.error(sentence)
                job_error: BaseException | None = raised
            else:
                job_error = None
            compact = CompactHydraException("\n".join(filter(None, (sentence, error.detail))))
        if job_error is not None and isinstance(job_error, Exception):
            raise job_error  # outside the except block, so that only the job's own frames are shown
        raise compact
