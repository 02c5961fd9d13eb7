"""The frame around every entry point: help, overrides, and the sentence that a wrong one gets.

Hydra composes conf/ and the overrides; this module adds what Hydra leaves out. `--help` is read from the comments of
conf/*.yaml, without importing Hydra. `start=FILE.yaml` and `--config-file FILE.yaml` become ordinary overrides, and a
chart that nobody chose follows optimizer and schedule. What a user can mend ends as one sentence on stderr and exit
code 2; only a bug shows a traceback.
"""

from __future__ import annotations

import difflib
import errno
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from flatdirs.errors import ConfigError, FlatdirsError
from flatdirs.resources import conf_folder

Settings = dict[str, Any]
OUT_OF_REACH = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
POSITIONAL = {"analyze": "study"}  # the key that a bare word is the value of
GROUP_FIRST = re.compile(r"^[a-z_]+=[^=]*$")
CHARTS = {"cdat": "cdat", "greedy": "greedy", "linesearch": "greedy"}  # of schedules that leave no learning rate


def main(name: str, entry: Callable[[Settings], int | None], arguments: list[str] | None = None) -> NoReturn:
    """Compose conf/<name>.yaml with the command line, call `entry` with plain mappings, and exit.

    Exit codes: 0, 2 for what a user can mend, 130 for Ctrl-C; anything else is a bug and shows its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # lr must not end a search where the terminal has no lr
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(help_text(name, arguments))
        sys.exit(0)
    try:
        sys.exit(_compose_and_run(name, entry, _expand(name, arguments)) or 0)
    except KeyboardInterrupt:
        sys.exit(130)
    except FlatdirsError as error:
        _refuse(str(error))
    except BrokenPipeError:  # nobody reads any more (head, less): stop as quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in OUT_OF_REACH:
            raise
        _refuse(_out_of_reach(error))


def _compose_and_run(name: str, entry: Callable[[Settings], int | None], arguments: list[str]) -> int | None:
    """Let Hydra do its part; its own complaints become ConfigErrors."""
    import hydra
    import yaml
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    codes: list[int | None] = []
    failures: list[Exception] = []

    def job(config: DictConfig) -> None:
        try:
            settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            codes.append(entry(_complete(name, settings)))
        except OmegaConfBaseException as error:
            failures.append(ConfigError(_sentence(name, error)))
        except Exception as error:  # kept from Hydra, which would print it its own way
            failures.append(error)

    debugging = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving with code 1
    sys.argv = [f"flatdirs-{name}", *arguments]
    try:
        hydra.main(config_path=str(conf_folder()), config_name=name, version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        if debugging:
            raise
        raise ConfigError(_sentence(name, error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # a file of the user's own, from --config-dir
        where = _place(error, arguments)
        raise ConfigError(f"{where} is not readable YAML; mend it or change --config-dir") from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        os.environ.update({} if debugging is None else {"HYDRA_FULL_ERROR": debugging})
    if failures:
        raise failures[0]
    return next((code for code in codes if code), 0)


def _complete(name: str, settings: Any) -> Settings:
    """The settings, if no key was taken out with ~key."""
    known = [*_top_keys(name), *_groups(name)]
    for key in known:
        if key not in settings:
            raise ConfigError(f"{key} is missing; leave ~{key} out")
    for key in settings:
        if key not in known:
            raise ConfigError(f"there is no key {key}; see --help for the keys")
    return {str(key): value for key, value in settings.items()}


def _top_keys(name: str) -> list[str]:
    text = _text(conf_folder() / f"{name}.yaml").partition("\n\n")[2].partition("\nhydra:")[0]
    return re.findall(r"^(\w+):", text, re.MULTILINE)


def _sentence(name: str, error: Exception) -> str:
    """Hydra's and OmegaConf's complaint as one sentence that names the key."""
    text = str(error) or str(error.__cause__ or "")
    if found := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, choice = found.groups()
        return f"{group}={choice} is unknown; choose one of {', '.join(_choices(group))}"
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        known = [line.split(":")[0] for line in _keys(name, [])] + _groups(name)
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else "see --help for the keys"
        return f"there is no key {key}; {hint}"
    if found := re.search(r"Missing mandatory value.*?full_key: (\S+)", text, re.DOTALL):
        return f"{found.group(1)} is missing; set {found.group(1)}=…"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"{first.rstrip('.')}; see --help for the keys"


def _place(error: Exception, arguments: list[str]) -> str:
    """Where a YAML file of the user's own is broken, as far as the error and the command tell."""
    if (mark := getattr(error, "problem_mark", None)) is not None:
        return f"{mark.name} in line {mark.line + 1}"
    words = [word for argument in arguments for word in argument.split("=", 1)]
    folders = [after for word, after in itertools.pairwise(words) if word in ("--config-dir", "-cd")]
    return f"a file in {folders[-1] if folders else '--config-dir'}"


def _out_of_reach(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return (
        f"cannot write{where} ({error.strerror}); free space or change output, then give the same command again: "
        f"everything up to the last finished run is kept"
    )


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"flatdirs: {' '.join(sentence.split())}\n")
    sys.exit(2)


def _expand(name: str, arguments: list[str]) -> list[str]:
    """Turn `start=FILE.yaml` and `--config-file FILE.yaml` into overrides, before those that follow them."""
    expanded: list[str] = []
    for group in _groups(name):
        if {f"{group}=null", f"{group}=", f"~{group}"} & set(arguments):
            raise ConfigError(f"{group} cannot be left out; choose {group}={' or '.join(_choices(group))}")
    rest = iter(arguments)
    for argument in rest:
        if argument == "--config-file" or argument.startswith("--config-file="):
            path = argument.partition("=")[2] or next(rest, "")
            if name != "train":
                raise ConfigError(f"--config-file is for flatdirs.train; set start={path or 'FILE.yaml'}")
            expanded += _file_overrides(path, "--config-file")
        elif argument.startswith("start=") and (
            argument.rstrip("'\"").endswith((".yaml", ".yml")) or os.sep in argument
        ):
            expanded += _start_overrides(argument.removeprefix("start=").strip("'\""))
        elif name in POSITIONAL and re.match(r"^[^-~+=][^=]*$", argument):
            expanded.append(f"{POSITIONAL[name]}={_quoted(argument)}")
        else:
            expanded.append(argument)
    chosen = _chosen(expanded)
    following = _following_chart(chosen) if "chart" in _groups(name) and "chart" not in chosen else None
    if following is None:
        return expanded
    place = next(n for n, argument in enumerate(expanded) if argument.startswith(("optimizer=", "schedule=")))
    return [*expanded[:place], f"chart={following}", *expanded[place:]]  # all overrides stand together


def _chosen(arguments: list[str]) -> dict[str, str]:
    """What `key=value` arguments say, the last one of a key."""
    return dict(argument.split("=", 1) for argument in arguments if GROUP_FIRST.match(argument))


def _following_chart(chosen: Mapping[str, str]) -> str | None:
    """The chart that goes with the optimizer and schedule on the command line; None where the usual one does."""
    kind = CHARTS.get(chosen.get("schedule", ""))
    adamw = chosen.get("optimizer") == "adamw"
    return f"{kind}_adamw" if kind and adamw else kind or ("adamw" if adamw else None)


def _start_overrides(path: str) -> list[str]:
    """The hyperparameters of a YAML file, those that conf/start knows, as overrides. Raises ConfigError without any."""
    values = _read_yaml(path, "start")
    known = re.findall(r"^(\w+):", _text(_option("start", "source")), re.MULTILINE)
    found = {key: values[key] for key in known if values.get(key) is not None}
    if not found:
        raise ConfigError(f"start={path} names no hyperparameter ({', '.join(known)}); change start")
    return [f"start.{key}={_quoted(value)}" for key, value in found.items()]


def _file_overrides(path: str, key: str) -> list[str]:
    """A YAML file as overrides: the choice of every group first, then every leaf."""
    values = _read_yaml(path, key)
    overrides = []
    for group in _groups("train"):
        if isinstance(values.get(group), Mapping) and "name" in values[group]:
            name = values[group]["name"]
            if group == "task" and name not in _choices(group):
                name = "digits"  # every key follows, so any image task can stand in for one of another name
            overrides.append(f"{group}={_quoted(name)}")
    return overrides + [f"{name}={_quoted(value)}" for name, value in _leaves(values)]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _quoted(value: Any) -> str:
    """A value as Hydra's override grammar reads it."""
    if value is None or isinstance(value, (bool, int, float)):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _read_yaml(path: str, key: str) -> Mapping[str, Any]:
    """A YAML mapping from a file. Raises ConfigError naming the option that gave the path."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        values = OmegaConf.to_container(OmegaConf.create(Path(path).read_text(encoding="utf-8")), resolve=True)
    except OSError as error:
        raise ConfigError(f"{key}={path} cannot be read ({error.strerror}); change {key}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{key}={path} is not readable YAML{where}; mend the file or change {key}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}={path} holds no keys; it must be a mapping such as best.yaml")
    return {str(name): value for name, value in values.items()}


def help_text(name: str, arguments: list[str]) -> str:
    """Groups and keys with a line each, from the comments in conf/."""
    chosen = _chosen(arguments)
    if "chart" in _groups(name) and (following := _following_chart(chosen)) is not None:
        chosen.setdefault("chart", following)
    title = _first_line(conf_folder() / f"{name}.yaml")
    lines = [title, "", f"usage: python -m flatdirs.{name} [group=choice …] [key=value …]", ""]
    if name in POSITIONAL:
        lines[2] = lines[2].replace(f".{name} ", f".{name} [{POSITIONAL[name].upper()}] ")
    if name == "train":
        lines[2] += " [--config-file FILE.yaml]"
    for group in _groups(name):
        lines.append(f"{group}=")
        lines += [f"  {choice:<16} {_first_line(_option(group, choice))}" for choice in _choices(group)]
    lines += ["", "keys (with their defaults):"]
    lines += [f"  {line}" for line in _keys(name, [f"{k}={v}" for k, v in chosen.items()])]
    if name == "tune":
        lines.append("  start=FILE.yaml takes the hyperparameters of an earlier search's best.yaml")
    lines += ["", "Also understood: Hydra's own options, such as --cfg job (show the whole configuration).", ""]
    return "\n".join(lines)


def _groups(name: str) -> list[str]:
    """The groups that a configuration chooses from, in its order."""
    return re.findall(r"^  - (\w+): \w+", _text(conf_folder() / f"{name}.yaml"), re.MULTILINE)


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def _option(group: str, choice: str) -> Path:
    return conf_folder() / group / f"{choice}.yaml"


def _keys(name: str, chosen: list[str]) -> list[str]:
    """`key: default  description` for a configuration and the options it (or `chosen`) takes."""
    own = _text(conf_folder() / f"{name}.yaml")
    options = dict(re.findall(r"^  - (\w+): (\w+)", own, re.MULTILINE))
    options.update(dict(argument.split("=", 1) for argument in chosen))
    lines = _documented(own.partition("\n\n")[2].partition("\nhydra:")[0], "")
    for group, choice in options.items():
        if group in _groups(name) and choice in _choices(group):
            lines += _documented(_text(_option(group, choice)), f"{group}.")
    return lines


def _documented(text: str, prefix: str) -> list[str]:
    """The commented keys of a YAML file, one line each."""
    lines, parent = [], ""
    for line in text.splitlines():
        setting, _, doc = line.partition("  # ")
        found = re.match(r"^(\s*)([a-z_0-9]+):\s*(.*)$", setting)
        if not found:
            continue
        indent, key, value = found.groups()
        if not indent:
            parent = "" if value else f"{key}."
        if doc:
            full = f"{prefix}{parent if indent else ''}{key}: {value}"
            lines.append(f"{full:<44}  {doc}")
    return lines


def _first_line(path: Path) -> str:
    return _text(path).splitlines()[0].lstrip("# ")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
