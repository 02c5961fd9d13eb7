"""Groups, options and keys of each command, with their comments: the text of conf/*.yaml, read without Hydra or YAML.

This is what `--help` shows and what a misspelt key is compared with. A configuration begins with one comment, a list of
groups with their default options, and an empty line; then come its keys, one a line, each with a comment.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flatdirs.resources import conf_folder
from flatdirs.space.names import all_names, canonical
from flatdirs.training.recipes import recipe

COMMANDS = ("tune", "train", "find-lr", "slices", "status", "analyze", "ask", "tell", "carry-over", "charts")
NOT_TAKEN = {"train": ("callable", "command"), "find-lr": ("callable", "command"), "slices": ("command",)}  # of `task`
CHARTS = {"cdat": "cdat", "greedy": "greedy", "linesearch": "greedy"}  # for schedules that find the rate themselves
OWN_CHARTS = {"muon": "muon", **dict.fromkeys(("adamw", "schedulefree", "prodigy"), "adamw")}  # by optimizer


@dataclass(frozen=True)
class Key:
    """A key of a configuration, such as start.lr, with its default as text and the comment behind it."""

    name: str
    default: str
    comment: str


def module_name(command: str) -> str:
    """The command as its module and its file in conf/ are called: find_lr for find-lr."""
    return command.replace("-", "_")


def title(name: str) -> str:
    """The first comment of a command or an option, such as start/auto: `flatdirs tune: find good settings`."""
    return _text(name).splitlines()[0].lstrip("# ")


def groups(command: str) -> dict[str, str]:
    """The groups that a command chooses from, with their default options, in the order of the file."""
    return dict(re.findall(r"^  - (\w+): (\w+)", _text(command), re.MULTILINE))


def options(group: str, command: str = "") -> list[str]:
    """The options of a group that come with flatdirs, or those of them that a command takes."""
    names = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
    return [name for name in names if group != "task" or name not in NOT_TAKEN.get(command, ())]


def top_keys(command: str) -> list[str]:
    """The keys of a configuration outside its groups, without those nested in them."""
    return re.findall(r"^(\w+):", _text(command).partition("\n\n")[2], re.MULTILINE)


def option_keys(group: str, option: str) -> list[str]:
    """The keys of an option, without those nested in them."""
    return re.findall(r"^(\w+):", _text(f"{group}/{option}"), re.MULTILINE)


def keys(command: str, chosen: Mapping[str, str] | None = None) -> list[Key]:
    """All keys of a command: its own, then those of its default options, or of the `chosen` ones."""
    found = _commented(_text(command).partition("\n\n")[2], "")
    for group, default in groups(command).items():
        option = (chosen or {}).get(group, default)
        if option in options(group):
            found += _commented(_text(f"{group}/{option}"), f"{group}.")
    return found


def following_chart(chosen: Mapping[str, str]) -> str | None:
    """The chart that suits the chosen optimizer and schedule; None where the default one does."""
    kind = CHARTS.get(chosen.get("schedule", ""))
    own = OWN_CHARTS.get(chosen.get("optimizer", ""))
    if kind:
        return f"{kind}_adamw" if own == "adamw" else kind
    return own


def implied(command: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """The options that the chosen ones imply, by group: those of the task's recipe, and the chart that suits them."""
    known = groups(command)
    found = {key: value for key, value in recipe(chosen).items() if key in known}
    chart = following_chart({**found, **chosen})
    return found | ({"chart": chart} if chart and "chart" in known else {})


def brought(command: str, chosen: Mapping[str, str]) -> dict[str, Any]:
    """The keys that the recipe of the chosen task sets: of the command itself, and of its groups."""
    tops, known = top_keys(command), groups(command)
    return {
        key: value
        for key, value in recipe(chosen).items()
        if key in tops or ("." in key and key.partition(".")[0] in known)
    }


def options_with(command: str, key: str) -> list[str]:
    """The options of the group of a key, such as search.min_gain, that have this key."""
    group = key.partition(".")[0]
    known = options(group, command) if group in groups(command) else []
    return [one for one in known if any(own.name == key for own in _commented(_text(f"{group}/{one}"), f"{group}."))]


def nearest(command: str, key: str, chosen: Mapping[str, str]) -> str | None:
    """The key or group of a command that a misspelt one most resembles. Long names count, the short one is returned."""
    names: dict[str, str] = {}
    for known in (*groups(command), *(one.name for one in keys(command, chosen))):
        head, dot, last = known.rpartition(".")
        names |= {f"{head}{dot}{name}": known for name in all_names(last)}
    found = difflib.get_close_matches(key, names, 1)
    return names[found[0]] if found else None


def short(key: str) -> str:
    """A dotted key with every long name in it replaced by the short one: start.lr for start.learning_rate."""
    return ".".join(map(canonical, key.split(".")))


def choices(words: Sequence[str], command: str) -> dict[str, str]:
    """The options that `group=option` words choose, the last one of each group."""
    given = (word.partition("=") for word in words)
    return {group: option for group, equals, option in given if equals and group in groups(command)}


@lru_cache
def _text(name: str) -> str:
    """The YAML file of a command, or of an option such as start/auto."""
    return (conf_folder() / f"{module_name(name)}.yaml").read_text(encoding="utf-8")


def _commented(text: str, prefix: str) -> list[Key]:
    """The commented keys of a YAML file, at most two levels deep."""
    found, parent = [], ""
    for line in text.splitlines():
        setting, _, comment = line.partition("  # ")
        match = re.match(r"^(\s*)([a-z_0-9]+):\s*(.*)$", setting)
        if not match:
            continue
        indent, key, value = match.groups()
        if not indent:
            parent = "" if value else f"{key}."
        if comment:
            found.append(Key(f"{prefix}{parent if indent else ''}{key}", value, comment))
    return found
