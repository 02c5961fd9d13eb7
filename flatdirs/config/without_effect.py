"""Settings that a user gave although they have no effect with the task, chart, search or storage chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flatdirs.errors import ConfigError, masked
from flatdirs.space.names import canonical
from flatdirs.training.optimizer import OPTIMIZERS

RUN = ("schedule", "optimizer", "metric", "device", "precision", "threads", "compile", "data", "curvature",
       "evaluate_every", "clip_gradient", "ema", "base", "lora_rank", "lora_alpha")  # fmt: skip
POINT = ("lr", "sigma", "momentum", "beta1", "wd", "batch_size")
PROBES = tuple(
    f"{key}={word}"
    for key in ("start", "start.lr", "start.wd")
    for word in ("auto", "step_sampling", "cdat", "prodigy", "carried")
)
MORE = {
    "metric": ", or set direction=minimize if lower is better",
    "start": ", as the command itself is the start",
    "start.batch_size": ", or set task.batch_size, or choose a chart with the batch size, such as sgd_batch",
}


def refuse_without_effect(settings: Mapping[str, Any], words: Sequence[str]) -> None:
    """Raise ConfigError for the first key=value of a command line that nothing reads. `settings`: all of them."""
    for choice, idle in _idle(settings):
        for word in (one.lstrip("+") for one in words if not one.endswith("=null")):  # null sets nothing
            if word in idle or word.startswith(tuple(f"{key}{end}" for key in idle for end in "=.")):
                key = word.partition("=")[0]
                more = "" if key == "start" and choice != "task=command" else MORE.get(key, "")
                raise ConfigError(f"{masked(word)} has no effect with {choice}; remove it{more}", key=key)


def _idle(settings: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each choice with the keys, or whole words, that have no effect with it."""
    task, chart, search, storage = (settings.get(group, {}) for group in ("task", "chart", "search", "storage"))
    if "function" in task:
        yield f"task={task.get('name')}", RUN
    if "command" in task:
        yield "task=command", ("start", *(key for key in RUN if key != "threads"))
    elif task:
        yield f"task={task.get('name')}", ("run",)
    if task.get("dataset") == "digits":
        yield "task.dataset=digits", ("data.path",)
    if task and storage and storage["kind"] != "url":
        yield f"storage={storage['kind']}", ("storage.url",)
    if "function" not in task:
        yield f"task={task.get('name')}", ("choices",)
    if isinstance(chart.get("hyperparameters"), list) and chart.get("name") != "auto":
        names = {canonical(str(name)) for name in chart["hyperparameters"]} | _of_trainer(settings)
        yield f"chart={chart.get('name')}", [f"start.{name}" for name in POINT if name not in names]
    if search.get("name") not in (None, "flatdirs"):
        yield f"search={search['name']}, which has no model of what is left to gain", ("until=converged",)
    if settings.get("deterministic") is True:
        yield "deterministic=true, where a run has no noise to compare what is left with", ("until=converged",)
    if settings.get("prior") is not None:
        yield f"prior={settings['prior']}, which brings the start", PROBES
    if search.keys() == {"name"}:  # one of Optuna's, which samples in box
        yield f"search={search['name']}, which has no grid and no starting point", ("chart.step", *PROBES)


def _of_trainer(settings: Mapping[str, Any]) -> set[str]:
    """The hyperparameters that our trainer needs besides its rate, whatever chart was chosen."""
    kind = OPTIMIZERS.get(settings.get("optimizer", {}).get("name"))
    return set() if kind is None or {"function", "command"} & set(settings["task"]) else {kind.momentum_name, "wd"}
