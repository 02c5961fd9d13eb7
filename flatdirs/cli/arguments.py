"""From the words of a command line to overrides for Hydra and values that are taken as they are.

Paths, study names, addresses and functions (VERBATIM) belong to the user: everything behind the first = is the value,
whatever characters it has; Hydra's grammar and OmegaConf's interpolation do not apply. All other words are Hydra's
`key=value` and `group=option`. Long names of hyperparameters become short ones, and the settings in `start=FILE.yaml`
and `--config-file FILE.yaml` become words of their own. What follows a bare `--` is the user's command, as it stands;
with a command metric=NAME is short for task.metric.name=NAME.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from flatdirs.cli import keys
from flatdirs.cli.help import BARE_WORDS, WITH_TAIL
from flatdirs.errors import ConfigError
from flatdirs.resources import PATHS, VERBATIM
from flatdirs.tuning.formatting import hydra_text

FILE = re.compile(rf"{re.escape(os.sep)}|\.ya?ml$")  # in the value of start
NO_HYPERPARAMETERS = ("seed", "task")  # of a best.yaml of a function
NEGATIVE = re.compile(r"-[0-9.]")  # a number below 0
MAY_BE_EMPTY = ("task.unit",)
OWN_VERBATIM = {"carry-over": ("optimizer", "metric")}  # which are groups of options elsewhere
PLACEHOLDERS = {True: "text", False: "digits"}  # options of group task to be overridden key by key; True: a text


@dataclass(frozen=True)
class Words:
    """What a command line says. `values`: VERBATIM keys, None for `null`. `show`: print the configuration only.

    `tail`: what stands behind a bare `--`. `dry_run`: say what would be run, and run nothing.
    `json`: print one JSON object.
    """

    overrides: tuple[str, ...]
    values: Mapping[str, str | None]
    config_dir: str | None = None
    show: bool = False
    tail: tuple[str, ...] | None = None
    dry_run: bool = False
    json: bool = False

    def again(self) -> list[str]:
        """The words that give the same command again, with the contents of files in their places."""
        folder = [] if self.config_dir is None else ["--config-dir", self.config_dir]
        values = (f"{key}={'null' if value is None else value}" for key, value in self.values.items())
        return [*self.overrides, *values, *folder]


def split_tail(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The words before the first bare `--`, and those behind it: a user's command; None where there is no `--`."""
    words = list(arguments)
    if "--" not in words:
        return words, None
    place = words.index("--")
    return words[:place], words[place + 1 :]


def read_words(command: str, arguments: Sequence[str]) -> Words:
    """Sort the arguments of a command. Raises ConfigError naming the key or option."""
    words, tail = split_tail(arguments)
    if tail is not None and command not in WITH_TAIL:
        raise ConfigError(f"{command} runs no command; remove -- and what follows it", key="--")
    if command == "tell":  # to argparse, -3e-1 would be an option
        words = [f"value={word}" if NEGATIVE.match(word) else word for word in words]
    said = _parse(command, words)
    said.words = said.words if command == "carry-over" else _of_task(said.words, tail is not None)
    overrides: list[str] = []
    values: dict[str, str | None] = {}
    if said.config_file is not None:
        overrides, values = _file_words(_home(said.config_file, "--config-file"), command)
    bare_keys = _bare_keys(command, said.words)
    own_verbatim = (*VERBATIM, *OWN_VERBATIM.get(command, ()))
    for word in said.words:
        if word != word.encode(errors="ignore").decode():
            raise ConfigError(f"{word!r} is not UTF-8 text; rename it", key=word.partition("=")[0])
        key, equals, value = word.partition("=")
        bare = key.lstrip("+")
        if bare in own_verbatim and equals:
            values[bare] = _verbatim(bare, value)
        elif word.startswith("start=") and "start" in keys.groups(command) and FILE.search(value):
            overrides += _start_overrides(_home(value, "start"))
        elif _is_bare(word) and command in BARE_WORDS:
            own = bare_keys.pop(0)
            values |= {own: _home(word, own) if own in PATHS else word} if own in VERBATIM else {}
            overrides += [] if own in VERBATIM else [f"{own}={word}"]
        else:
            overrides.append(keys.short(key) + equals + value)
    folder = None if said.config_dir is None else _home(said.config_dir, "--config-dir")
    if folder is not None and not Path(folder).is_dir():
        raise ConfigError(f"--config-dir={folder} is not a folder; change --config-dir", key="--config-dir")
    end = None if tail is None else tuple(tail)
    return Words(tuple(overrides), values, folder, said.cfg is not None, end, said.dry_run, said.json)


def _is_bare(word: str) -> bool:
    return "=" not in word and not word.startswith("~")


def _bare_keys(command: str, words: Sequence[str]) -> list[str]:
    """The keys of a command's bare words, in order; the first ones may be left out. Raises ConfigError for too many."""
    said = {word.partition("=")[0] for word in words if not _is_bare(word)}
    known = [key for key in BARE_WORDS.get(command, ()) if key not in said]
    bare = [word for word in words if _is_bare(word)]
    if command in BARE_WORDS and len(bare) > len(known):
        expected = " ".join(key.upper() for key in BARE_WORDS[command])
        raise ConfigError(
            f"{command} takes {expected}, each once; leave out {bare[len(known)]}", key=BARE_WORDS[command][0]
        )
    return known[len(known) - len(bare) :]


def _of_task(words: Sequence[str], tail: bool) -> list[str]:
    """The words as the task means them: of a command, which may stand behind `--` (`tail`), and of a function."""
    if tail or any(word.startswith(("task=command", "task.command=")) for word in words):
        return ["task=command", *map(_of_command, words)]
    function = any(word.startswith(("task=callable", "task.function=")) for word in words)
    return [_of_function(word) if function else word for word in words]


def _of_command(word: str) -> str:
    """A word that has another meaning with a command: metric=NAME is the name of what the command prints."""
    key, equals, value = word.partition("=")
    return f"task.metric.name={value}" if equals and key in ("metric", "task.metric") else word


def _of_function(word: str) -> str:
    """A word about a further hyperparameter of a function, such as start.dropout=0.1: a new key for Hydra."""
    key, equals, _ = word.partition("=")
    head, _, name = key.rpartition(".")
    known = keys.option_keys("start", "typical")
    new = key == "choices" or head == "choices" or (head in ("start", "chart.bounds") and keys.short(name) not in known)
    return f"++{word}" if equals and new else word


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        option = next((word for word in message.replace("/", " ").split() if word.startswith("-")), self.prog)
        remedy = "a command to tune stands behind --, " if self.prog.endswith(" tune") else ""
        raise ConfigError(f"{message}; {remedy}see {self.prog} --help", key=option.rstrip(":"))


def _parse(command: str, arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(f"flatdirs {command}", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--cfg", "-c", choices=["job"])
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-file")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--for", dest="wanted")
    said = parser.parse_intermixed_args(arguments)
    if said.multirun:
        raise ConfigError(
            f"{command} does not support --multirun; run one command per setting, each with its own study=NAME",
            key="--multirun",
        )
    if said.dry_run and command != "tune":
        raise ConfigError(f"--dry-run is an option of tune; remove it from {command}", key="--dry-run")
    if said.json and command not in ("ask", "tell"):
        raise ConfigError(f"--json is an option of ask and tell; remove it from {command}", key="--json")
    if said.wanted is not None:
        if command != "charts":
            raise ConfigError(f"--for is an option of charts; remove it from {command}", key="--for")
        said.words.append(f"for={said.wanted}")
    if said.config_file is not None and command != "train":
        raise ConfigError(f"--config-file is an option of train; set start={said.config_file}", key="--config-file")
    return said


def _home(path: str, key: str) -> str:
    """The path with ~ replaced by the home folder it stands for. Raises ConfigError for an unknown user."""
    if not path.startswith("~"):
        return path
    found = os.path.expanduser(path)  # noqa: PTH111  (Path drops the last slash, and a leading ./)
    if found == path:
        raise ConfigError(f"{key}={path} names no user of this machine; write ./{path} for a folder here", key=key)
    return found


def _verbatim(key: str, value: str) -> str | None:
    if value == "null":
        return None
    if not value and key not in MAY_BE_EMPTY:
        raise ConfigError(f"{key} is empty; write a value behind {key}= or leave it out", key=key)
    return _home(value, key) if key in PATHS else value


def _start_overrides(path: str) -> list[str]:
    """The hyperparameters in a YAML file as overrides. Raises ConfigError where it has none."""
    settings, values = read_yaml(path, "start")
    known = keys.option_keys("start", "typical")
    further = [name for name in settings if name not in known] if "task.function" in values else []
    plain = (*known, *(name for name in further if name not in NO_HYPERPARAMETERS))
    found = {name: settings[name] for name in plain if isinstance(settings.get(name), (int, float, str))}
    if not found:
        raise ConfigError(f"start={path} holds none of {', '.join(known)}; change start", key="start")
    return [f"{'++' * (name in further)}start.{name}={hydra_text(value)}" for name, value in found.items()]


def _file_words(path: str, command: str) -> tuple[list[str], dict[str, str | None]]:
    """A YAML file of settings as overrides (the option of every group, then every key) and verbatim values."""
    settings, values = read_yaml(path, "--config-file")
    named = [group for group in keys.groups(command) if "name" in (settings.get(group) or {})]
    overrides = [f"{group}={hydra_text(settings[group]['name'])}" for group in named]
    if "task.name" in values:
        known = values["task.name"] in keys.options("task")
        placeholder = PLACEHOLDERS["context" in (settings.get("task") or {})]
        overrides.append(f"task={values['task.name'] if known else placeholder}")
    return overrides + [f"{key}={hydra_text(value)}" for key, value in _leaves(settings)], values


def read_yaml(path: str, key: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """The settings in a YAML file with short names and interpolations replaced, and its VERBATIM values.

    Raises ConfigError naming `key`, the setting that gave the path.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf._utils import get_yaml_loader  # reads 1e-3 as a number, refuses a key that stands there twice
    from omegaconf.errors import OmegaConfBaseException

    try:
        tree = yaml.load(Path(path).read_text(encoding="utf-8"), get_yaml_loader())
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}={path} is not a mapping of keys to values; change {key}", key=key)
        values = _take_verbatim(tree)
        settings = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    except OSError as error:
        raise ConfigError(f"{key}={path} cannot be read ({error.strerror}); change {key}", key=key) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={path}: {str(error).splitlines()[0]}; correct it or change {key}", key=key) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}={path} {yaml_fault(error)}; correct it or change {key}", key=key) from error
    return _short_names(settings), values


def yaml_fault(error: Exception) -> str:
    """What is wrong with a file: "has lr twice in line 2"."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or ""
    key = problem.removeprefix("found duplicate key ")
    fault = "is not valid YAML" if key == problem else f"has {key} twice"
    return f"{fault} in line {mark.line + 1}" if mark else fault


def _take_verbatim(tree: dict[str, Any]) -> dict[str, str | None]:
    """Remove the VERBATIM keys from a nested mapping and return them."""
    taken: dict[str, str | None] = {}
    for key in VERBATIM:
        *path, last = key.split(".")
        inner: Any = tree
        for part in path:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and last in inner:
            value = inner.pop(last)
            taken[key] = None if value is None else str(value)
    return taken


def _short_names(tree: Any) -> Any:
    """A mapping with short names as its keys, at every level."""
    if not isinstance(tree, Mapping):
        return tree
    return {keys.short(str(name)): _short_names(value) for name, value in tree.items()}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
