"""Compose a command's configuration with Hydra, as plain mappings, and leave Hydra before anything else runs.

No global state stays behind, so a user's own training function may use Hydra itself. Complaints of Hydra and OmegaConf
become ConfigErrors of one sentence that name the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flatdirs.cli import keys
from flatdirs.cli.arguments import Words, yaml_fault
from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder
from flatdirs.tuning.formatting import hydra_text

Settings = dict[str, Any]
AUTO_CHART = "auto"  # in place of a chart's name: the one that suits the hyperparameters of a command or a function


def compose(command: str, words: Words) -> Settings:
    """conf/<command>.yaml with the words of the command line. Raises ConfigError naming the key."""
    overrides = [_checked(command, word) for word in words.overrides]
    chosen = {one.key_or_group: str(one.value()) for one in overrides if one.key_or_group in keys.groups(command)}
    implied = keys.implied(command, chosen) | ({"storage": "url"} if words.values.get("storage.url") else {})
    brought = keys.brought(command, chosen)
    lines = [*(f"{key}={hydra_text(value)}" for key, value in {**implied, **brought}.items()), *words.overrides]
    if words.config_dir is not None:
        folder = QuotedString(f"file://{Path(words.config_dir).absolute()}", Quote.double).with_quotes()
        lines.append(f"hydra.searchpath=[{folder}]")
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = hydra_compose(keys.module_name(command), overrides=lines)
        return _of_task(_plain(command, config, words, implied | chosen), words, chosen)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explained(command, error, implied | chosen) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # a user's own option
        file = getattr(getattr(error, "problem_mark", None), "name", f"a file in {words.config_dir}")
        problem = f"{file} {yaml_fault(error)}; correct it or change --config-dir"
        raise ConfigError(problem, key="--config-dir") from error


def _checked(command: str, word: str) -> Override:
    """The parsed override. Raises ConfigError where Hydra could not use it, or would without a word."""
    key = word.partition("=")[0].lstrip("+~")
    if word.lstrip("+~").startswith("hydra"):
        raise _unknown(command, key, {})
    if "=" not in word and not word.startswith("~"):
        remedy = "a command to tune stands behind --, " if command == "tune" else ""
        raise ConfigError(f"{word} must have the form key=value; {remedy}see flatdirs {command} --help", key=word)
    if key == "storage" and "://" in word:
        raise ConfigError("storage names a kind, not an address; write storage.url= before the address", key=key)
    try:
        parsed = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise ConfigError(f"the value in {word} needs quotes of its own, as in '{key}=\"…\"'", key=key) from error
    if parsed.is_sweep_override():
        raise ConfigError(f"{word} holds several values; give one, or a list such as {key}=[1,2]", key=key)
    group = keys.groups(command).get(key)
    if group is not None and (parsed.is_delete() or not isinstance(parsed.value(), str) or not parsed.value()):
        raise ConfigError(f"{word}: a {key} is needed; choose one of {', '.join(keys.options(key, command))}", key=key)
    if group is not None and parsed.value() in set(keys.options(key)) - set(keys.options(key, command)):
        known = ", ".join(keys.options(key, command))
        raise ConfigError(f"{word} is not for {command}, which trains networks; choose one of {known}", key=key)
    if parsed.is_delete() and "." not in key:
        raise ConfigError(f"{key} cannot be removed; leave {word} out", key=key)
    return parsed


def _plain(command: str, config: DictConfig, words: Words, chosen: Mapping[str, str]) -> Settings:
    """Plain mappings with the verbatim values in their places."""
    given = {*words.values, *(() if words.tail is None else ("task.command",))}
    absent = sorted(set(OmegaConf.missing_keys(config)) - given)
    if absent and not words.show:
        raise ConfigError(f"{absent[0]} is missing; set {absent[0]}=…", key=absent[0])
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    settings = {str(key): value for key, value in container.items()}
    known = {*keys.top_keys(command), *keys.groups(command)}
    for key in settings:
        if key not in known:
            raise _unknown(command, key, chosen)
    for key, value in words.values.items():
        *path, last = key.split(".")
        place: Any = settings
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise _unknown(command, key, chosen)
        place[last] = value
    return settings


def _of_task(settings: Settings, words: Words, chosen: Mapping[str, str]) -> Settings:
    """The settings with the words behind `--` in them; a chart not chosen follows the command or the function."""
    task = settings.get("task", {})
    holder = task if "command" in task else settings
    if "command" in holder and words.tail is not None:
        holder["command"] = list(words.tail)
    if {"command", "function"} & set(task) and "chart" in settings and "chart" not in chosen:
        settings["chart"]["name"] = AUTO_CHART
    return settings


def _unknown(command: str, key: str, chosen: Mapping[str, str]) -> ConfigError:
    """The error of a key that is not in the configuration: of another option of its group, or misspelt."""
    if homes := ", ".join(keys.options_with(command, key)):
        group = key.partition(".")[0]
        now = chosen.get(group, keys.groups(command)[group])
        problem = f"belongs to {group}={homes} and has no effect with {group}={now}"
        return ConfigError(f"{key} {problem}; remove it, or change {group}", key=key)
    near = keys.nearest(command, key, chosen)
    hint = f"did you mean {near}?" if near else f"see flatdirs {command} --help"
    return ConfigError(f"there is no key {key}; {hint}", key=key)


def _explained(command: str, error: Exception, chosen: Mapping[str, str]) -> ConfigError:
    """Hydra's or OmegaConf's complaint as one sentence that names the key."""
    text = str(error) or str(error.__cause__ or "")
    if found := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, option = found.groups()
        known = ", ".join(keys.options(group, command))
        return ConfigError(f"{group}={option} is unknown; choose one of {known}", key=group)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown(command, found.group(1), chosen)
    found = re.search(r"full_key: (\S+)", text)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    key = found.group(1) if found else next(iter(re.findall(r"[\w.]+(?==)", first)), command)
    return ConfigError(f"{first.rstrip('.')}; change {key}, or see flatdirs {command} --help", key=key)
