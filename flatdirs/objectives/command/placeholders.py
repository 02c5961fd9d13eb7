"""Placeholders in a command: {lr}, {seed}, {dropout:0.1}, {dropout:0.1:0:0.5:linear}, {act:relu|gelu}.

A placeholder is a pair of braces whose inside is exactly a name of `FIXED` or `SPECIAL`, a name with a number, a name
with a number, a range and perhaps a scale, or a name with choices; a name alone also where the command gives its start
elsewhere. All other braces stay as they are: JSON, Hydra's {a:1,b:2}, ${x}, {}, {epoch:02d}.

Doubled braces escape only what would be a placeholder: {{lr}} is the text {lr}, {{{lr}}} the value of lr in braces. So
JSON such as {"a": {"b": 1}} needs no escape, and {"a": {"b": {lr:0.1}}} holds a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flatdirs.errors import FlatdirsError
from flatdirs.objectives.command.notation import is_number, is_whole, written
from flatdirs.setting_checks import wrong
from flatdirs.space.names import canonical

POSITIVE = ("lr", "wd", "batch_size", "adamw_lr", "lora_rank", "lora_alpha")  # searched on a log scale
FIXED = (*POSITIVE, "momentum", "beta1", "beta2")  # names that need no start in the braces
SPECIAL = ("seed", "run", "run_dir", "port")  # what each run is given
SCALES = ("log", "linear", "logit")
KEY = "task.command"

_BRACES = re.compile(r"(?<![${])(\{+)([^{}]*)(\}+)")
_NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
_BODY = re.compile(rf"({_NAME})(?::(.*))?", re.S)
_FOREIGN = re.compile(r"[,\"'\s]")  # of a dictionary or a list, never of a range


@dataclass(frozen=True)
class Slot:
    """A value in a command that a run may be given.

    `start` is None for a bare {lr} without a start and for what each run is given; `text` is what the command says
    there, `notation` the start's own spelling ("" without a start), `flag` the flag or key before it, `why` the reason
    for which it is held, as a predicate ("" where it can be tuned). A slot with `choices` is one of them, spelled as in
    `spellings`.
    """

    name: str
    start: float | int | str | None
    text: str
    notation: str = ""
    low: float | None = None
    high: float | None = None
    scale: str | None = None
    whole: bool = False
    choices: tuple[float | int | str, ...] = ()
    spellings: tuple[str, ...] = ()
    explicit: bool = False
    flag: str = ""
    why: str = ""

    @property
    def bare(self) -> bool:
        """Whether it is a name alone, without a start or choices."""
        return self.start is None

    @property
    def unset(self) -> str:
        """What stands in a command that gives it no value: the start as it is spelled, else the placeholder."""
        return self.notation or self.text

    def written(self, value: Any) -> str:
        """A value as the command writes it. Raises ValueError for a choice that it does not have."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.name}={value} must be one of {', '.join(self.spellings)}")
            return self.spellings[self.choices.index(value)]
        if self.whole and value != round(value):
            raise ValueError(f"{self.name}={value} must be a whole number")
        value = round(value) if self.whole else value
        return written(value, self.notation or ("1" if self.whole else "0.1"))

    def restarted(self, value: Any) -> str:
        """What stands in the command where it begins with this value: {lr:0.2:0.01:1} for {lr:0.1:0.01:1}."""
        if not self.text.startswith("{"):
            return self.written(value)
        if self.text == f"{{{self.name}}}":
            return self.text
        now = self.written(value)
        if self.choices:
            others = [one for one in self.spellings if one != now]
            return f"{{{self.name}:{'|'.join([now, *others])}}}"
        name, _, *ends = self.text[1:-1].split(":")
        return f"{{{':'.join([name, now, *ends])}}}"


def placeholders(words: Sequence[str]) -> tuple[tuple[str | Slot, ...], ...]:
    """Each word in pieces, text and slots. Raises ConfigError for a malformed placeholder and for two that differ."""
    defined: dict[str, Slot] = {}
    for slot in _slots(_pieces(word, ()) for word in words):
        other = defined.setdefault(slot.name, slot)
        if not (slot.bare or other.bare) and slot.text != other.text:
            raise wrong(KEY, slot.text, f"contradicts {other.text}", remedy=f"write {{{slot.name}}} for one of them")
        defined[slot.name] = slot if other.bare else other
    return tuple(
        tuple(piece if isinstance(piece, str) else replace(defined[piece.name], text=piece.text) for piece in pieces)
        for pieces in (_pieces(word, defined) for word in words)
    )


def start_problem(name: str, start: float) -> str:
    """What is wrong with a start of a well-known hyperparameter, "" for nothing."""
    if name in POSITIVE and start <= 0:
        return "cannot be searched on a log scale"
    if name in ("momentum", "beta1", "beta2") and not 0 <= start < 1:
        return "must be at least 0 and below 1"
    return ""


def _slots(words: Iterable[tuple[str | Slot, ...]]) -> list[Slot]:
    return [piece for pieces in words for piece in pieces if isinstance(piece, Slot)]


def _pieces(word: str, defined: Collection[str]) -> tuple[str | Slot, ...]:
    """One word in pieces, without empty texts. `defined`: names of their own that may stand bare."""
    pieces: list[str | Slot] = []
    end = 0
    for found in _BRACES.finditer(word):
        pairs = min(len(found[1]), len(found[3]))
        slot = _read(found[2], defined, escaped=pairs % 2 == 0)
        if slot is None:
            continue
        left, right = found[1][pairs:] + "{" * (pairs // 2), "}" * (pairs // 2) + found[3][pairs:]
        middle: list[str | Slot] = [slot] if pairs % 2 else [found[2]]
        pieces += [word[end : found.start()] + left, *middle, right]
        end = found.end()
    return _joined([*pieces, word[end:]])


def _joined(pieces: Sequence[str | Slot]) -> tuple[str | Slot, ...]:
    """The pieces with neighbouring texts as one, and no empty ones unless the word is empty."""
    joined: list[str | Slot] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(last := joined[-1], str):
            joined[-1] = last + piece
        else:
            joined.append(piece)
    return tuple(piece for piece in joined if piece != "") or ("",)


def _read(body: str, defined: Collection[str], escaped: bool) -> Slot | None:
    """The slot of what stands in braces, None for other braces. Escaped ones are not checked."""
    found = _BODY.fullmatch(body)
    if found is None:
        return None
    name, rest, text = canonical(found[1]), found[2], f"{{{body}}}"
    if rest is None:
        usable = found[1] in FIXED or found[1] in SPECIAL or name in defined
        return Slot(name, None, text, whole=name == "batch_size", explicit=True) if usable else None
    try:
        return _with_start(name, rest, text)
    except FlatdirsError:
        if not escaped:
            raise
        return Slot(name, None, text)


def _with_start(name: str, rest: str, text: str) -> Slot | None:
    """The slot of {name:rest}, None for other braces."""
    if "|" in rest and not rest[0].isspace():
        return _of_choices(name, rest.split("|"), text)
    if _FOREIGN.search(rest) or not rest:
        return None
    fields = rest.split(":")
    if is_number(fields[0]) and not re.match(r"[+-]?0[0-9]", fields[0]):
        return _of_numbers(name, fields, text)
    if name in FIXED or name in SPECIAL:
        raise _wrong(text, "has no number for its start", f"write {example(name)}")
    return None


def _of_choices(name: str, spellings: Sequence[str], text: str) -> Slot:
    if name in SPECIAL:
        raise _wrong(text, "is given by each run and has no choices", f"write {{{name}}}, or take another name")
    choices = tuple(_value(spelling) for spelling in spellings)
    if "" in choices or len(set(choices)) < len(choices):
        raise _wrong(text, "has a choice that is empty or stands there twice", "remove it")
    return Slot(name, choices[0], text, spellings[0], choices=choices, spellings=tuple(spellings), explicit=True)


def _value(spelling: str) -> float | int | str:
    return int(spelling) if is_whole(spelling) else float(spelling) if is_number(spelling) else spelling


def _of_numbers(name: str, fields: Sequence[str], text: str) -> Slot:
    if name in SPECIAL and (name != "seed" or len(fields) > 1 or not is_whole(fields[0])):
        raise _wrong(text, "is given by each run and is not tuned", f"write {{{name}}}, or take another name")
    scale = fields[3] if len(fields) == 4 else None
    if len(fields) not in (1, 3, 4) or not all(map(is_number, fields[:3])):
        raise _wrong(text, "is no number with a range", f"write {{{name}:start:low:high}}, such as {example(name, 3)}")
    start, low, high = (*map(float, fields[:3]), None, None)[:3]
    whole = name not in ("lr", "wd", "momentum", "beta1", "beta2") and all(map(is_whole, fields[:3]))
    slot = Slot(
        name, int(fields[0]) if whole else start, text, fields[0], low, high, scale, whole, explicit=True
    )  # fmt: skip
    _check(slot)
    return slot


def _check(slot: Slot) -> None:
    """Raise ConfigError for a range that is none, a start outside of it, or a scale that does not fit."""
    name, text, low, high = slot.name, slot.text, slot.low, slot.high
    start = float(slot.start or 0)
    if name == "batch_size" and not slot.whole:
        raise _wrong(text, "must be a whole number", "write {batch_size:64}")
    if problem := start_problem(name, start):
        raise _wrong(text, problem, f"write {example(name)}")
    if slot.scale is not None and slot.scale not in SCALES:
        raise _wrong(text, f"has no scale {slot.scale}", "write log, linear or logit")
    if slot.scale is not None and name in FIXED:
        raise _wrong(text, f"has a scale, and {name} one of its own", f"write {text.rpartition(':')[0]}}}")
    if low is None or high is None:
        return
    if not low <= start <= high or low == high:
        raise _wrong(text, "must have low ≤ start ≤ high and low < high", "change its range")
    least = min(low, start)
    if (slot.scale == "log" or name in POSITIVE) and least <= 0:
        raise _wrong(text, "must lie above 0 on a log scale", "change its lowest value")
    if slot.scale == "logit" and not 0 < low < high < 1:
        raise _wrong(text, "must lie strictly between 0 and 1 on a logit scale", "change its range")
    if name in ("momentum", "beta1", "beta2") and not 0 <= low < high < 1:
        raise _wrong(text, "must have a range in [0, 1)", "change its range")


def _wrong(text: str, problem: str, remedy: str) -> FlatdirsError:
    """The error of a placeholder; says how to keep braces that are none."""
    return wrong(KEY, text, problem, remedy=f"{remedy} (or {{{text}}} where the text itself is meant)")


def example(name: str, fields: int = 1) -> str:
    """A placeholder of this name that can be, with a start or, of three `fields`, a range too."""
    starts = {
        "lr": ("0.1", "0.001", "1"),
        "wd": ("5e-4", "1e-5", "1e-2"),
        "momentum": ("0.9", "0.5", "0.99"),
        "beta1": ("0.9", "0.5", "0.99"),
        "beta2": ("0.999", "0.9", "0.9999"),
        "batch_size": ("64", "16", "512"),
        "adamw_lr": ("3e-4", "1e-5", "1e-2"),
        "lora_rank": ("16", "4", "64"),
        "lora_alpha": ("32", "8", "128"),
    }
    if name in SPECIAL:
        return f"{{{name}}}"
    return f"{{{':'.join([name, *starts.get(name, ('0.5', '0.1', '0.9'))[:fields]])}}}"
