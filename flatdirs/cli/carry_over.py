"""`flatdirs carry-over`: a well-tuned setting for another batch size, length, optimizer, rank or width, by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from flatdirs.cli import run_command
from flatdirs.cli.tune import say

if TYPE_CHECKING:
    from flatdirs.carrying.carry import CarriedOver
    from flatdirs.config.carry_over import Source
    from flatdirs.training.run_config import TrainConfig


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Read the setting, carry it over, print how and the new command or YAML, and make the runs of `check`."""
    from flatdirs.config.carry_over import carried, read_told, rounded, train_words
    from flatdirs.report.carry_over import print_carried
    from flatdirs.report.console import Output

    told, source = read_told(settings), _source(settings)
    found = carried(source, told)
    console = Output()
    if source.guessed and "optimizer" not in told.before:
        say(f"optimizer: taken to be {source.guessed}, as nothing says; optimizer=adamw:adamw for another one")
    training = None if source.training is None else _training(settings["file"], train_words(source, found))
    print_carried(console, found, rounded)
    _print_use(source, found, training)
    if told.check:
        say(_checked(settings, source, found, told.check, training))
    return 0


def _source(settings: dict[str, Any]) -> Source:
    """Where the setting comes from. Raises ConfigError unless exactly one place is told."""
    from flatdirs.cli.arguments import read_yaml
    from flatdirs.config.carry_over import of_command, of_mapping, of_training
    from flatdirs.errors import ConfigError

    file, command = settings["file"], settings["command"]
    if (file is None) == (command is None):
        raise ConfigError("give the setting by one file, or by the command behind --, not both", key="file")
    if command is not None:
        return of_command(command)
    tree, verbatim = read_yaml(file, "file")
    task = tree.get("task") or {}
    if "dataset" in task or "context" in task:
        return of_training(_training(file, []))
    if kept := verbatim.get("command"):
        return of_command(kept)
    return of_mapping(tree, verbatim.get("task.function"), str(verbatim.get("task.unit") or ""))


def _training(file: str, words: list[str]) -> TrainConfig:
    """The run of our trainer that a file describes, with some settings replaced."""
    from flatdirs.cli.arguments import read_words
    from flatdirs.cli.compose import compose
    from flatdirs.config.tune import read_train

    return read_train(compose("train", read_words("train", ["--config-file", file, *words])))


def _print_use(source: Source, found: CarriedOver, training: TrainConfig | None) -> None:
    """The new command, or the new setting as YAML."""
    from flatdirs.config.carry_over import command_words, new_values
    from flatdirs.report.carry_over import yaml_lines
    from flatdirs.tuning.commands import shell_line, train_command
    from flatdirs.tuning.formatting import assignments

    if training is not None:
        say(f"train with it: {train_command(training)}")
    elif source.template is None:
        say(f"the new setting:\n{yaml_lines({**source.setting, **new_values(source, found)})}")
    else:
        words, rest = command_words(source, found)
        say(f"run it: {shell_line(words)}")
        if rest:
            say(f"change beside it, as it stands in none of the words: {assignments(rest)}")


def _checked(settings: dict[str, Any], source: Source, found: CarriedOver, check: int, new: TrainConfig | None) -> str:
    """Make the runs of a check; whether the rule held, in one sentence."""
    from flatdirs.config.carry_over import RUNS, function_to_check, training_to_check
    from flatdirs.tuning.carry_check import check_rule, points_of

    holds = found.after.optimizer != "adam"
    seeds = check // RUNS
    if source.template is not None:
        return _check_command(settings, source, found, holds, seeds)
    if new is not None:
        objective, setting, maximize, first = training_to_check(new)
    else:
        objective, setting, maximize, first = function_to_check(source, found, settings["direction"])
    own = [first + number for number in range(seeds)]
    return check_rule(objective, points_of(setting, holds), own, maximize, say).sentence()


def _check_command(settings: dict[str, Any], source: Source, found: CarriedOver, holds: bool, seeds: int) -> str:
    """The same of a user's command, whose runs get folders of their own."""
    from flatdirs.backend.storages import make_folder
    from flatdirs.backend.trials import study_folder
    from flatdirs.cli.arguments import Words
    from flatdirs.cli.compose import compose
    from flatdirs.config.carry_over import command_words
    from flatdirs.config.tune import read_tune
    from flatdirs.setting_checks import wrong
    from flatdirs.tuning.carry_check import check_rule, points_of
    from flatdirs.tuning.metric_choice import with_metric

    words, rest = command_words(source, found)
    if rest:
        problem = f"cannot run the new {', '.join(rest)}, as it stands in none of the words of the command"
        raise wrong("check", settings["check"], problem, remedy="remove it, or write it in the command")
    study = f"{source.template.name if source.template else 'command'}-carry-over"
    metric = {} if settings["metric"] is None else {"task.metric.name": str(settings["metric"])}
    values = {"study": study, "output": str(settings["output"]), **metric}
    told = Words(("task=command", f"direction={settings['direction']}", "confirm=0"), values, tail=tuple(words))
    config = with_metric(read_tune(compose("tune", told)), say)
    folder = study_folder(config.output.absolute(), config.study)
    make_folder(folder)
    points = points_of(dict(config.plan.grid.start), holds)
    own = [config.plan.seed + number for number in range(seeds)]
    return check_rule(config.objective, points, own, config.maximize, say, config.study, folder).sentence()


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("carry-over", run, arguments)
