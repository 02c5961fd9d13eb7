"""A command as a template: the words of the user's command line, and which of their parts are hyperparameters.

`Template.read(argv)` or `Template.parse(text)` finds the placeholders and the well-known flags; `command` is the argv
of one run. Nothing is run here, and nothing but the words themselves (and which files exist) is looked at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from flatdirs.errors import FlatdirsError
from flatdirs.objectives.command.known_flags import NAMES, Found, find_flags, optimizer_of
from flatdirs.objectives.command.notation import is_whole
from flatdirs.objectives.command.placeholders import KEY, SPECIAL, Slot, example, placeholders, start_problem
from flatdirs.objectives.command.shell_words import (
    masked_words,
    named_files,
    refuse_shell_syntax,
    short,
    split_words,
    with_env,
)
from flatdirs.setting_checks import wrong

__all__ = ["Slot", "Template", "masked_words"]

FAMILIES = {"sgd": "SGD", "adamw": "AdamW", "adam": "Adam", "muon": "Muon"}
OF_FAMILY = {"momentum": ("sgd", "muon"), "beta1": ("adamw", "adam"), "beta2": ("adamw", "adam"), "adamw_lr": ("muon",)}
HELD = ("batch_size", "lora_rank", "lora_alpha", "seed", "epochs")
WHOLE = (*HELD, "steps", "examples", "width")  # whole numbers where the command has them so

Words = tuple[tuple[str | Slot, ...], ...]


@dataclass(frozen=True)
class Template:
    """A command whose values can be replaced: each word in pieces, texts and slots.

    A slot in several places has one value. `source`: the words as written. `ambiguous`: names that the command gives
    by different flags, with those flags; none of their values is replaced unless a placeholder says which.
    """

    words: Words
    source: tuple[str, ...]
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, words: Sequence[str], names: Mapping[str, str] = NAMES) -> Template:
        """The template of an argv. Raises ConfigError for shell syntax and for placeholders that cannot be.

        `names`: spelling → name of the flags that are recognised.
        """
        refuse_shell_syntax(words)
        return cls._of(words, names)

    @classmethod
    def parse(cls, text: str, names: Mapping[str, str] = NAMES) -> Template:
        """The template of a command in one text (`task.command`), split as a shell does. Raises ConfigError."""
        return cls._of(split_words(text), names)

    @classmethod
    def _of(cls, words: Sequence[str], names: Mapping[str, str]) -> Template:
        source = tuple(with_env(words))
        pieces = placeholders(source)
        marked = {slot.name: slot for slot in _slots_of(pieces)}
        plain = _plain(pieces)
        chosen, ambiguous = _choose(find_flags(plain, names), plain, marked)
        recognised = {slot.name: slot for _, slot in chosen if slot.name in marked and slot.name not in SPECIAL}
        bare = [[_started(piece, recognised) for piece in word] for word in pieces]
        return cls(_with_flags(bare, chosen), source, ambiguous)

    @cached_property
    def _slots(self) -> dict[str, Slot]:
        """All slots by name but {run} and the like, in the order of the command; `why` set where one is held."""
        found: dict[str, Slot] = {}
        for slot in _slots_of(self.words):
            if slot.name not in SPECIAL or slot.flag:
                found.setdefault(slot.name, slot)
        return {name: replace(slot, why=self._why_held(slot)) for name, slot in found.items()}

    def _why_held(self, slot: Slot) -> str:
        """Why a recognised slot is not tuned unless in tune=, "" where it is."""
        name, family = slot.name, self.optimizer
        if slot.explicit and name not in SPECIAL:
            return ""
        if name in HELD:
            return "is given each run's seed" if name == "seed" else "is tuned only if tune= names it"
        if problem := start_problem(name, float(slot.start or 0)):
            return problem
        return "" if family in OF_FAMILY.get(name, FAMILIES) else f"is no hyperparameter of {FAMILIES[family]}"

    @property
    def slots(self) -> dict[str, Slot]:
        """What can be tuned: recognised lr, wd, momentum, beta1 and beta2, and placeholders; by name."""
        return {name: slot for name, slot in self._slots.items() if not slot.why}

    @property
    def held(self) -> dict[str, Slot]:
        """What was recognised and is held (batch size, seed, epochs, starts of 0), with the reason in `why`."""
        return {name: slot for name, slot in self._slots.items() if slot.why}

    @cached_property
    def named_optimizer(self) -> str:
        """The optimizer that the command's words name (of a choice its start), "" for none."""
        words = [_joined(piece if isinstance(piece, str) else piece.unset for piece in word) for word in self.words]
        return optimizer_of(words)

    @property
    def optimizer(self) -> str:
        """ "sgd", "adamw", "adam" or "muon".

        The one that is named, else AdamW where the command gives betas and no momentum, else SGD.
        """
        given = {slot.name for slot in _slots_of(self.words)}
        by_betas = "adamw" if {"beta1", "beta2"} & given and "momentum" not in given else "sgd"
        return self.named_optimizer or by_betas

    @property
    def takes_seed(self) -> bool:
        """Whether a run is given its seed: by {seed}, or by a recognised --seed 0.

        A recognised seed is replaced in every run, for replicates and confirmation need fresh ones.
        """
        return any(slot.name == "seed" for slot in _slots_of(self.words))

    @property
    def specials(self) -> frozenset[str]:
        """Which of seed, run, run_dir and port the command takes."""
        return frozenset(slot.name for slot in _slots_of(self.words)) & set(SPECIAL)

    @property
    def files(self) -> tuple[Path, ...]:
        """The existing files that the command names, relative to the working directory, without interpreters."""
        return tuple(named_files(_plain(self.words)))

    @property
    def name(self) -> str:
        """The stem of the first existing file in the command, else "command"."""
        return next((file.stem for file in self.files), "command")

    def command(self, values: Mapping[str, Any], special: Mapping[str, str]) -> list[str]:
        """The argv of a run. `values` by canonical name, `special`: seed, run, run_dir, port.

        What stands in neither keeps the text of the command, a placeholder its start. Raises ValueError for a value
        that the command has no slot for.
        """
        if strange := [name for name in values if name not in self._slots]:
            raise ValueError(f"the command has no slot for {', '.join(strange)}")

        def text(piece: str | Slot) -> str:
            if isinstance(piece, str):
                return piece
            if piece.name in SPECIAL:
                return str(special.get(piece.name, piece.unset))
            return piece.written(values[piece.name]) if piece.name in values else piece.unset

        return [_joined(map(text, word)) for word in self.words]

    def text(self) -> str:
        """The template as one line for a shell, secrets masked: what is stored with a study and compared."""
        return shlex.join(masked_words(self.source))

    def started(self, values: Mapping[str, Any]) -> list[str]:
        """The words as written, placeholders included, with these values as their starts."""

        def text(piece: str | Slot) -> str:
            if isinstance(piece, str) or piece.name not in values or piece.name in SPECIAL:
                return piece if isinstance(piece, str) else piece.text
            return piece.restarted(values[piece.name])

        pairs = zip(self.words, self.source, strict=True)
        return [_joined(map(text, word)) if _slots_of([word]) else given for word, given in pairs]

    def begun(self, name: str, start: float) -> Template:
        """The same command with a start for a placeholder that has none: {wd:0.1} for {wd}."""
        bare = self._slots[name].text
        inner = re.compile(rf"(?<!{{){re.escape(bare)}(?!}})")
        return Template._of([inner.sub(f"{bare[:-1]}:{start:g}}}", word) for word in self.source], NAMES)

    def require(self, names: Iterable[str], key: str = "tune") -> dict[str, Slot]:
        """The slots of these hyperparameters, held ones too. Raises ConfigError where one cannot be tuned."""
        names = list(names)
        for name in names:
            self.refuse_ambiguous(name)
            if name in SPECIAL:
                raise wrong(key, name, "is given by each run and cannot be tuned", remedy="remove it")
            slot = self._slots.get(name)
            if slot is None:
                known = ", ".join(name for name in self._slots if name not in SPECIAL) or "nothing"
                remedy = f"mark it in the command, as in {example(name)}"
                raise wrong(key, name, f"does not stand in the command, in which {known} was recognised", remedy=remedy)
            if problem := start_problem(name, float(slot.start)) if isinstance(slot.start, (int, float)) else "":
                raise wrong(
                    key, f"{name} ({slot.flag} {slot.notation})", problem, remedy="change the value in the command"
                )
        return {name: replace(self._slots[name], why="") for name in names}

    def require_learning_rate(self, started: Collection[str] = ()) -> None:
        """Raise ConfigError unless there is something to tune and each of it has a start.

        The command must give a learning rate or a placeholder, no hyperparameter by two different flags, and a start
        for each bare placeholder that is not in `started` (those whose start is told elsewhere, as start.lr=0.1).
        """
        for name in self.ambiguous:
            if name not in HELD:
                self.refuse_ambiguous(name)
        if "lr" not in self.slots and not any(slot.explicit for slot in self.slots.values()):
            held = self.held.get("lr")
            problem = f"holds {held.flag} {held.notation}, which {held.why}" if held else "has no learning rate"
            raise self._wrong(problem, "mark one in the command, as in --lr {lr:0.1}")
        for name, slot in self.slots.items():
            if slot.bare and name not in started:
                raise wrong(KEY, slot.text, "has no start", remedy=f"write {example(name)}")

    def refuse_ambiguous(self, name: str) -> None:
        """Raise ConfigError where the command gives a name by two different flags."""
        if flags := self.ambiguous.get(name):
            marked = f"{flags[-1]}{' ' if flags[-1].startswith('-') else '='}{example(name)}"
            raise self._wrong(
                f"gives {name} twice, by {' and '.join(flags)}", f"mark the one that counts, as in {marked}"
            )

    def _wrong(self, problem: str, remedy: str) -> FlatdirsError:
        return wrong(KEY, short(self.text()), problem, remedy=remedy)


def _joined(texts: Iterable[str]) -> str:
    return "".join(texts)


def _slots_of(words: Iterable[Iterable[str | Slot]]) -> list[Slot]:
    return [piece for word in words for piece in word if isinstance(piece, Slot)]


def _plain(words: Words) -> list[str | None]:
    """The words, None in place of those that hold a slot."""
    return [only if len(word) == 1 and isinstance(only := word[0], str) else None for word in words]


def _choose(
    found: Sequence[Found], words: Sequence[str | None], marked: Mapping[str, Slot]
) -> tuple[list[tuple[Found, Slot]], dict[str, tuple[str, ...]]]:
    """The flags whose values are slots, and the names that stand there by several flags.

    A placeholder with a start wins over every flag of its name; a bare one takes the flag's start and moves with it.
    """
    flags: dict[str, list[Found]] = {}
    for one in found:
        if one.name in SPECIAL or one.name not in marked or marked[one.name].bare:
            flags.setdefault(one.name, []).append(one)
    ambiguous = {name: tuple(one.flag for one in several) for name, several in flags.items() if several[1:]}
    single = [several[0] for several in flags.values() if not several[1:]]
    return [(one, _recognised(one, words[one.word] or "", one.name in marked)) for one in single], ambiguous


def _recognised(found: Found, word: str, explicit: bool) -> Slot:
    """The slot of a flag's value. `explicit`: the name is a placeholder elsewhere in the command."""
    text, name = word[found.begin : found.end], found.name
    whole = name in WHOLE and is_whole(text)
    start = int(text) if whole else float(text)
    problem = start_problem(name, start) if explicit else ""
    if problem:
        raise wrong(KEY, f"{found.flag} {text}", problem, remedy=f"remove {{{name}}}, or change the value")
    return Slot(name, start, text, text, whole=whole, explicit=explicit and name not in SPECIAL, flag=found.flag)


def _started(piece: str | Slot, recognised: Mapping[str, Slot]) -> str | Slot:
    """A bare placeholder with the start of the flag of its name."""
    if isinstance(piece, str) or piece.name not in recognised:
        return piece
    return replace(recognised[piece.name], text=piece.text)


def _with_flags(words: Sequence[Sequence[str | Slot]], chosen: Iterable[tuple[Found, Slot]]) -> Words:
    """The words with the values of the chosen flags as slots."""
    cut = [list(word) for word in words]
    for found, slot in sorted(chosen, key=lambda pair: (pair[0].word, -pair[0].begin)):  # from the end of a word on
        head, *rest = cut[found.word]
        assert isinstance(head, str)
        cut[found.word] = [head[: found.begin], slot, head[found.end :], *rest]
    return tuple(tuple(piece for piece in word if piece != "") or ("",) for word in cut)
