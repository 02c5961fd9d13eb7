"""The keys of `carry-over`, and where a setting comes from: a run of our trainer, a user's command, or a plain mapping.

    Source: setting and setup before, how both are written elsewhere ──► CarriedOver ──► Source.again(carried)

Every source says what it has under the names of `flatdirs.carry_over`; what it does not have is told as OLD:NEW.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from flatdirs.carrying.carry import AVERAGES, CARRIED, CarriedOver, carry_over
from flatdirs.carrying.setup import OPTIMIZERS, SETUP, TOLD, WHOLE
from flatdirs.config.values import read_choice, read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.known_flags import CARRIED as FLAGS
from flatdirs.objectives.command.known_flags import optimizer_of, told_optimizers
from flatdirs.objectives.command.template import Template
from flatdirs.objectives.evaluation import AnyObjective
from flatdirs.objectives.function import CallableObjective, CallableTask
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import wrong
from flatdirs.space.grid import complement, significant
from flatdirs.space.names import ALIASES, canonical
from flatdirs.training.metrics import Accuracy, Loss
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.task import TextTask
from flatdirs.tuning.formatting import hydra_text

KEYS = (*(name for name in SETUP if name != "optimizer"), "optimizer", *TOLD)
MORE_ALIASES = {spelling: name for spelling, name in FLAGS.items() if name in (*CARRIED, *SETUP)} | ALIASES
RUNS = 3  # of a check, with one seed: at half, once and twice the new lr


@dataclass(frozen=True)
class Source:
    """A setting and what it was tuned for. `guessed`: the optimizer that was assumed, "" where it is told.

    `training`: a run of our trainer; `template`: a user's command; neither of them for a plain mapping, which may be
    that of a `function` with values in this `unit`.
    """

    setting: Mapping[str, Any]
    setup: Mapping[str, Any]
    guessed: str = ""
    training: TrainConfig | None = None
    template: Template | None = None
    function: str | None = None
    unit: str = ""


@dataclass(frozen=True)
class Told:
    """What the keys say: `before` and `to`, by name, and how many runs check it."""

    before: Mapping[str, Any]
    to: Mapping[str, Any]
    check: int


def read_told(settings: Mapping[str, Any]) -> Told:
    """The keys of what changes, and `check`. Raises ConfigError naming the key."""
    before, to = dict[str, Any](), dict[str, Any]()
    for key in KEYS:
        if settings[key] is not None:
            old, new = _pair(key, settings[key])
            to[key] = new
            before |= {} if old is None else {key: old}
    check = read_value(int, settings["check"], "check")
    if check < 0 or check % RUNS:
        raise wrong("check", check, "must be 3, or 3 times a number of seeds; 0 for no runs")
    read_choice("direction", settings["direction"], ("auto", "maximize", "minimize"))
    return Told(before, to, check)


def _pair(key: str, value: Any) -> tuple[Any, Any]:
    """Old and new of OLD:NEW; the old one is None for a single value."""
    parts = str(value).split(":")
    if len(parts) > 2 or not all(parts):
        raise wrong(key, value, "must be one value, or OLD:NEW")
    values = [_value(key, part.strip()) for part in parts]
    return (None, values[0]) if len(values) == 1 else (values[0], values[1])


def _value(key: str, text: str) -> Any:
    if key == "optimizer":
        return text.lower()
    try:
        number = float(text)
        return int(number) if number == int(number) and key in (*WHOLE, "epochs") else float(text)
    except (ValueError, OverflowError):
        raise wrong(key, text, "must be a number, or OLD:NEW") from None


def carried(source: Source, told: Told) -> CarriedOver:
    """The setting of a source carried over, rounded to what is run. Raises ConfigError."""
    values = {name: told.before[name] for name in TOLD if name in told.before}
    setup = {name: value for name, value in told.before.items() if name not in TOLD}
    for name, value in {**values, **setup}.items():
        known = {**source.setup, **source.setting}.get(name)
        certain = name != "optimizer" or not source.guessed
        if known is not None and known != value and certain:
            problem, remedy = f"contradicts the {known} that is there", f"write {name}={told.to[name]}"
            raise wrong(name, f"{value}:{told.to[name]}", problem, remedy=remedy)
    return carry_over({**source.setting, **values}, {**source.setup, **setup}, told.to)


def rounded(name: str, value: Any) -> Any:
    """A value as it is run and printed: four significant digits, those of 1 − value for decay rates of averages."""
    if name not in CARRIED or isinstance(value, int):
        return value
    return complement(significant(1 - value)) if name in AVERAGES else significant(value)


def of_training(config: TrainConfig) -> Source:
    """A run of our trainer. Raises ConfigError for a schedule that finds its own lr."""
    if config.lr is None:
        problem = "chooses the learning rate itself, and there is no lr to carry over"
        raise wrong("file", config.schedule.name, problem, remedy="take a setting of another schedule")
    optimizer = config.optimizer
    names = ("lr", optimizer.momentum_name, "wd")
    setting = {name: getattr(config, name) for name in names}
    own = {name: getattr(config.rule, name, None) for name in ("beta2", "epsilon")} | {"ema": config.ema}
    setting |= {name: value for name, value in own.items() if value is not None}
    return Source(setting, setup_of(config), training=config)


def setup_of(config: TrainConfig) -> dict[str, Any]:
    """What a run of our trainer is tuned for, under the names of `flatdirs.carry_over`."""
    return {
        "optimizer": config.optimizer.name,
        "batch_size": config.images_per_step,
        "epochs": config.task.epochs,
        "examples": config.training_images,
        "width": config.task.width,
    }


def train_words(source: Source, found: CarriedOver) -> list[str]:
    """The overrides of `train` that turn the old run of our trainer into the new one. Raises ConfigError."""
    assert source.training is not None
    task, changed = source.training.task, new_values(source, found)
    if "steps" in changed:
        raise wrong("steps", changed["steps"], "is not how the trainer counts", remedy="set epochs")
    places = {"epochs": "task.epochs", "width": "task.width", "examples": "task.train_images"}
    beta2 = "optimizer.beta2" if source.training.beta2 is None else "beta2"  # which takes the optimizer's place
    places |= {"beta2": beta2, "epsilon": "optimizer.epsilon"}
    if isinstance(task, TextTask) and "examples" in changed:
        changed["examples"] *= task.context
        places["examples"] = "task.train_characters"
    return [f"{places.get(name, name)}={hydra_text(value)}" for name, value in changed.items()]


def of_command(command: str | Sequence[str]) -> Source:
    """A user's command, in words or in one text. Raises ConfigError where it has no lr, or gives something twice."""
    template = Template.parse(command, FLAGS) if isinstance(command, str) else Template.read(command, FLAGS)
    for name in (*CARRIED, *SETUP):
        template.refuse_ambiguous(name)
    template.require(["lr"], "command")
    slots = {**template.slots, **template.held}
    numbers = {name: slot.start for name, slot in slots.items() if isinstance(slot.start, (int, float))}
    named, guessed = _optimizer(template)
    setting = {name: value for name, value in numbers.items() if name in CARRIED}
    setup = {name: value for name, value in numbers.items() if name in SETUP}
    return Source(setting, {**setup, "optimizer": named}, guessed, template=template)


def _optimizer(template: Template) -> tuple[str, str]:
    """The optimizer that a command names, and the one that was assumed where it names none."""
    words = list(template.source)
    if known := optimizer_of(words):
        return known, ""
    if told := [word for word in told_optimizers(words) if word]:
        return told[-1].lower(), ""
    return template.optimizer, template.optimizer


def command_words(source: Source, found: CarriedOver) -> tuple[list[str], dict[str, Any]]:
    """The words of the command with the new values, and what changes without standing in it, by name."""
    template = source.template
    assert template is not None
    slots, changed = {**template.slots, **template.held}, new_values(source, found)
    rest = {name: value for name, value in changed.items() if name not in slots}
    return template.started({name: value for name, value in changed.items() if name in slots}), rest


def new_values(source: Source, found: CarriedOver) -> dict[str, Any]:
    """What is not as it was, by name: hyperparameters as they are run, and of the setup what changed."""
    values = {name: rounded(name, value) for name, value in found.setting.items()}
    changed = {name: value for name, value in values.items() if value != source.setting.get(name)}
    setups = ((name, getattr(found.before, name), getattr(found.after, name)) for name in SETUP)
    return {**changed, **{name: new for name, old, new in setups if new != old and new is not None}}


def of_mapping(settings: Mapping[str, Any], function: str | None = None, unit: str = "") -> Source:
    """Any mapping with lr in it. Raises ConfigError for values that are no numbers."""
    names = {str(name): MORE_ALIASES.get(str(name).lower(), canonical(str(name))) for name in settings}
    plain = {names[str(name)]: value for name, value in settings.items() if value is not None}
    numbers = {name: value for name, value in plain.items() if _is_number(value)}
    for name in (*CARRIED, *SETUP):
        if name in plain and name not in numbers and name != "optimizer":
            raise wrong("file", f"{name}: {plain[name]}", "is no number", remedy=f"correct {name} there")
    setup = {name: value for name, value in numbers.items() if name in SETUP}
    optimizer = plain.get("optimizer")
    named = optimizer.get("name") if isinstance(optimizer, Mapping) else optimizer
    if named is not None and not isinstance(named, str):
        raise wrong("file", f"optimizer: {named}", f"must be one of {', '.join(OPTIMIZERS)}", remedy="correct it there")
    setting = {name: value for name, value in numbers.items() if name not in SETUP and name not in ("seed", "steps")}
    if "lr" not in setting:
        raise ConfigError("the file has no lr; give the path of a file with one", key="file")
    guessed = "" if named else "adamw" if "beta1" in setting and "momentum" not in setting else "sgd"
    return Source(setting, {**setup, "optimizer": (named or guessed).lower()}, guessed, function=function, unit=unit)


def training_to_check(training: TrainConfig) -> tuple[AnyObjective, dict[str, Any], bool, int]:
    """The objective of a run of our trainer, its setting, whether higher is better, and the first seed."""
    own = {each.name: getattr(training, each.name) for each in fields(ImageObjective) if each.name != "metric"}
    text = isinstance(training.task, TextTask)
    objective = ImageObjective(**own, metric=Loss() if text else Accuracy())
    names = ("lr", training.optimizer.momentum_name, "wd")
    setting = {**{name: getattr(training, name) for name in names}, "batch_size": training.images_per_step}
    return objective, setting, not text, training.seed


def function_to_check(
    source: Source, found: CarriedOver, direction: str
) -> tuple[AnyObjective, dict[str, Any], bool, int]:
    """The same of a user's function. Raises ConfigError (check) for none, or one that does not take what changes."""
    if source.function is None:
        problem = "needs something to run, and the file has neither task nor command"
        raise wrong("check", RUNS, problem, remedy="remove it")
    objective = CallableObjective(CallableTask("check", source.function, source.unit))
    changed = new_values(source, found)
    for name in changed:
        if not objective.takes(name):
            problem = f"cannot tell {source.function} the new {name}, for which it has no parameter"
            raise wrong("check", RUNS, problem, remedy="remove it")
    return objective, {**source.setting, **changed}, direction != "minimize", 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
