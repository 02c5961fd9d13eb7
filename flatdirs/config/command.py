"""The group `task=command` with `run.*`, `tune` and `fixed`: from a command line to the objective and its search space.

In: the plain settings. Out: a CommandObjective; a CommandSpace, which says which numbers of the command are searched
along which chart, and which are held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flatdirs.config.values import read_choice, read_dataclass, read_integer, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.metric_config import MetricConfig
from flatdirs.objectives.command.metric_names import direction_of
from flatdirs.objectives.command.objective import CommandObjective, CommandTask, RunSettings
from flatdirs.objectives.command.shell_words import split_words
from flatdirs.objectives.command.template import Slot, Template
from flatdirs.setting_checks import require_integer, require_number, wrong
from flatdirs.space.chart import Chart
from flatdirs.space.chart_for import chart_for, related
from flatdirs.space.further import Further, with_further
from flatdirs.space.shipped_charts import read_chart
from flatdirs.tuning.adamw_start import timescales
from flatdirs.tuning.start import MOST_DECAY

AUTO = "auto"  # the chart's name where it follows the command


@dataclass(frozen=True)
class CommandSpace:
    """`chart` with `start`, in the chart's hyperparameters; `held`: name → why the number stays as it is."""

    chart: Chart
    start: Mapping[str, Any]
    held: Mapping[str, str]


def read_command(settings: Mapping[str, Any]) -> CommandObjective:
    """The objective of `task=command`. Raises ConfigError naming the key."""
    task = dict(settings["task"])
    metric = read_dataclass(MetricConfig, task.get("metric") or {}, "task.metric.")
    metric.check()
    template, note = _with_decay(read_template(task["command"]), task)
    name = task.get("name")
    named = template.name if name is None else read_value(str, name, "task.name")
    unit = read_value(str, task.get("unit") or "", "task.unit")
    threads = None if settings.get("threads") is None else read_integer(settings, "threads", 1)
    return CommandObjective(
        CommandTask(named, template.text(), metric, unit),
        template,
        read_dataclass(RunSettings, settings.get("run") or {}, "run."),
        threads,
        read_integer(settings, "workers", 1),
        note=note,
    )


def _with_decay(template: Template, task: Mapping[str, Any]) -> tuple[Template, str]:
    """The command with a start for a bare {wd}, by its steps and tokens per parameter, and a sentence that says so."""
    key = "task.tokens_per_parameter"
    tokens = read_value(float | None, task.get("tokens_per_parameter"), key)
    steps = read_value(int | None, task.get("steps"), "task.steps")
    if tokens is None and steps is None:
        return template, ""
    require_number(key, tokens, 0, above=True)
    require_integer("task.steps", steps, 1)
    slot, rate = template.slots.get("wd"), template.slots.get("lr")
    if template.optimizer != "adamw":
        raise wrong(key, tokens, "has no effect unless the command names AdamW", remedy="name it, or remove both keys")
    if slot is None or not slot.bare:
        remedy = "write {wd} for its weight decay, or remove both keys"
        raise wrong(key, tokens, "has no effect, as the command has no {wd} without a start", remedy=remedy)
    if rate is None or rate.bare:
        raise wrong(key, tokens, "needs the lr that the search starts at", remedy="write it, as in --lr {lr:0.001}")
    many, per_decay = timescales(float(tokens)), int(steps) * float(rate.start or 0)
    decay, most = float(f"{many / per_decay:.2g}"), MOST_DECAY["beta1"]
    note = f"for T·lr·wd = {many:.2g} at {tokens:g} tokens per parameter"
    if decay > most:
        decay, note = most, f"the largest start, T·lr·wd = {most * per_decay:.2g}; {decay:g} would be {note}"
    return template.begun("wd", decay), f"{decay:g}, {note}"


def read_template(command: Any) -> Template:
    """The template of a command: its words, or one text. Raises ConfigError naming the key."""
    told = isinstance(command, str)
    words = split_words(command) if told else read_value(tuple[str, ...], command, "task.command")
    if not words and not told:
        raise ConfigError("there is no command behind --; write it there, as in -- python train.py --lr 0.1", key="--")
    if len(words) == 1 and " " in words[0] and not Path(words[0]).exists():
        return Template.parse(words[0])  # task.command='"…"', where the quotes came with it, or -- '…'
    return Template.parse(command) if told else Template.read(words)


def read_direction(metric: MetricConfig, said: Any) -> str | None:
    """maximize or minimize: as `direction` or `task.metric.direction` says, else by the metric's name; else None."""
    direction = read_choice("direction", said, ("auto", "maximize", "minimize"))
    told = metric.direction
    if told is not None and direction not in ("auto", told):
        raise wrong("direction", direction, f"contradicts task.metric.direction={told}", remedy="remove one of them")
    if told is not None or direction != "auto":
        return told or direction
    name = metric.column or metric.name
    return None if name is None else direction_of(name)


def read_space(
    template: Template, wanted: list[str] | None, chart: Mapping[str, Any], fixed: Sequence[str]
) -> CommandSpace:
    """The numbers of a command that are searched, along the chart that was chosen or that suits them."""
    if wanted is None:
        template.require_learning_rate()
        slots = template.slots
    else:
        slots = template.require(wanted)
    slots = _without(slots, fixed, template)
    plain = [name for name, slot in slots.items() if not slot.choices and slot.scale in (None, "log")]
    known = related(plain, template.optimizer)
    given = read_chart(chart)
    base = chart_for(known, template.optimizer) if given.name == AUTO else _chosen(given, plain)
    left_out = {
        name for name in known if name not in base.hyperparameters and not slots[name].explicit and wanted is None
    }
    slots = {name: slot for name, slot in slots.items() if name not in left_out}
    others = {name: slot for name, slot in (template.held | template.slots).items() if name not in {*slots, "seed"}}
    why = dict.fromkeys(left_out, f"not in chart={given.name}") | dict.fromkeys(fixed, "fixed")
    held = {name: slot.why or why.get(name, "not in tune=") for name, slot in others.items()}
    bounded = {name: pair for name, pair in given.bounds.items() if name in base.hyperparameters}
    base = replace(base.within(bounded), step=given.step)
    further = [_further(slot) for name, slot in slots.items() if name not in base.hyperparameters]
    whole, start = with_further(base, further)
    bounds = {name: (slot.low, slot.high) for name, slot in slots.items() if name in base.hyperparameters}
    whole = whole.within({name: pair for name, pair in bounds.items() if pair != (None, None)})
    return CommandSpace(whole, {**{name: slots[name].start for name in base.hyperparameters}, **start}, held)


def require_ranges(chart: Chart, template: Template) -> None:
    """Raise ConfigError where a further number has no range, which Optuna's searches need."""
    for name in chart.scales:
        if name in chart.free and None in chart.bounds.get(name, (None, None)):
            text = template.slots[name].text if name in template.slots else name
            raise wrong(
                "task.command", text, "has no range, which this search needs", remedy=f"write {{{name}:start:low:high}}"
            )


def _without(slots: Mapping[str, Slot], fixed: Sequence[str], template: Template) -> dict[str, Slot]:
    """The slots that are not fixed. Raises ConfigError where none is left, or a name is unknown."""
    if unknown := [name for name in fixed if name not in {**template.slots, **template.held}]:
        raise wrong("fixed", unknown, f"names no number of the command, which has {', '.join(template.slots)}")
    left = {name: slot for name, slot in slots.items() if name not in set(fixed)}
    if not left:
        raise ConfigError("nothing of the command is left to tune; take a name out of fixed", key="fixed")
    return left


def _chosen(chart: Chart, names: Sequence[str]) -> Chart:
    """The chosen chart, restricted to the hyperparameters that the command has."""
    mine = [name for name in names if name in chart.hyperparameters]
    if not mine:
        raise wrong("chart", chart.name, f"has none of {', '.join(names) or 'the hyperparameters'} of the command")
    return chart.restrict(mine)


def _further(slot: Slot) -> Further:
    """A number or a choice that no chart knows, as an axis of its own."""
    scale: Any = slot.scale
    return Further(
        slot.name, slot.start, slot.low, slot.high, scale, None, slot.whole, slot.choices, key="task.command"
    )
