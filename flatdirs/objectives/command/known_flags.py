"""Flags and overrides that stand for well-known hyperparameters: whole names, from one table.

A flag counts if its name is in `NAMES` (dashes and underscores are one, LR=0.1 is lr=0.1) and its value is a number.
Of a dotted key the last part counts, unless a part before it says that something else is meant (scheduler, bn, ema, …).
`--lr-decay`, `--warmup-lr`, `--min-lr` and `--bn-momentum` are other names, and so never taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flatdirs.objectives.command.notation import NUMBER, is_number
from flatdirs.space.names import ELSEWHERE, SPELLINGS, all_names

NAMES = {spelling: name for name in SPELLINGS for spelling in all_names(name)} | {
    spelling: name
    for name, spellings in {  # of flags alone
        "lr": "lr0 learning_rate_init",
        "wd": "wdecay",
        "betas": "betas adam_betas adamw_betas opt_betas optimizer_betas",
        "batch_size": "b batch per_gpu_train_batch_size",
        "seed": "seed random_seed manual_seed manualseed seed_everything random_state",
        "epochs": "epochs num_epochs num_train_epochs max_epochs n_epochs nepochs epoch",
    }.items()
    for spelling in spellings.split()
}
CARRIED = NAMES | {  # what `carry-over` reads beside them
    spelling: name
    for name, spellings in {
        "epsilon": "eps epsilon adam_eps adam_epsilon opt_eps",
        "ema": "ema ema_decay model_ema_decay",
        "width": "width d_model n_embd embed_dim hidden_size",
        "steps": "steps n_steps num_steps max_steps total_steps train_steps num_train_steps max_train_steps max_iters "
        "iterations num_iterations",
        "examples": "train_examples num_train_examples max_train_samples",
    }.items()
    for spelling in spellings.split()
}
SHORT = {"b"}  # with one dash only
OPTIMIZERS = ("muon", "adamw", "adam", "sgd")
TRAINER_FLAGS = frozenset(
    {"per_device_train_batch_size", "num_train_epochs", "adam_beta1", "adam_beta2", "adam_epsilon"}
)

_KEY = re.compile(r"(--?|\+\+?)?([A-Za-z][\w.-]*)")
_PAIR = re.compile(rf"[\[(]?\s*({NUMBER})\s*[,\s]\s*({NUMBER})\s*[\])]?")

_LABELS = re.compile("name|tags?|notes?|comment|group|project|desc|description|title|label|suffix|prefix")


@dataclass(frozen=True)
class Found:
    """A known value in a word: words[word][begin:end]. `flag` as written; equal `identity`: the same flag."""

    name: str
    flag: str
    identity: str
    word: int
    begin: int
    end: int


def find_flags(words: Sequence[str | None], names: Mapping[str, str] = NAMES) -> list[Found]:
    """All well-known values of a command, the last of each flag; None stands for a word that is no plain text.

    `names`: spelling → name of what is looked for.
    """
    found: dict[tuple[str, str], Found] = {}
    for place, word in enumerate(words):
        if word is None:
            continue
        flag, equals, _ = word.partition("=")
        key = _known(flag, names)
        if (
            key is None
            or not (equals or flag.startswith("-"))
            or (not flag.startswith("-") and _is_label(words, place))
        ):
            continue
        name, identity = key
        for part in ("beta1", "beta2") if name == "betas" else (name,):
            found.pop((part, identity), None)  # the last counts, whatever it holds
        spans = _spans(words, place + (not equals), len(flag) + 1 if equals else 0, name, alone=not equals)
        for part, at, begin, end in spans:
            found[part, identity] = Found(part, flag, identity, at, begin, end)
    return list(found.values())


def _known(flag: str, names: Mapping[str, str]) -> tuple[str, str] | None:
    """The name that a flag or key stands for, and its identity; None for all others."""
    match = _KEY.fullmatch(flag)
    if match is None:
        return None
    dashes, key = match[1] or "", normal(match[2])
    *before, last = key.split(".")
    if last not in names or (last in SHORT and (dashes != "-" or before)):
        return None
    if any(ELSEWHERE.fullmatch(token) for part in before for token in part.split("_")):
        return None
    return names[last], ("--" if dashes.startswith("-") else "") + key


def normal(key: str) -> str:
    """A flag's name in small letters, with underscores and without dashes before it."""
    return key.lstrip("-+").lower().replace("-", "_")


def _is_label(words: Sequence[str | None], place: int) -> bool:
    """Whether a word is the value of a flag for names, as lr=0.1 in --run-name lr=0.1."""
    before = (words[place - 1] if place else None) or ""
    return before[:1] == "-" and "=" not in before and _LABELS.fullmatch(normal(before).split("_")[-1]) is not None


def _spans(
    words: Sequence[str | None], place: int, begin: int, name: str, alone: bool
) -> list[tuple[str, int, int, int]]:
    """(name, word, begin, end) of the value at words[place][begin:], two for betas; empty where it is no such value."""
    word = words[place] if place < len(words) else None
    if word is None:
        return []
    value = word[begin:]
    if name != "betas":
        fits = re.fullmatch("[0-9]+", value) if name in ("batch_size", "lora_rank", "seed") else is_number(value)
        is_list = alone and _number((*words, None)[place + 1])  # --lr 0.1 0.01
        return [(name, place, begin, len(word))] if fits and not is_list else []
    if pair := _PAIR.fullmatch(value):
        return [(f"beta{i}", place, begin + pair.start(i), begin + pair.end(i)) for i in (1, 2)]
    following = [*words[place + 1 : place + 3], None, None][:2]
    if alone and is_number(value) and _number(following[0]) and not _number(following[1]):
        return [("beta1", place, 0, len(word)), ("beta2", place + 1, 0, len(following[0] or ""))]
    return []


def _number(word: str | None) -> bool:
    return word is not None and is_number(word)


def optimizer_of(words: Sequence[str]) -> str:
    """The optimizer that a command names: muon, adamw, adam or sgd, "" for none of them.

    The value of --opt, optimizer=… and the like decides; else a whole word anywhere, in this order. All but adamw do
    not count in paths (/home/adam) nor in the beginning of a flag (--adam-eps). The Trainer's own flags (--adam_beta1,
    --per_device_train_batch_size) stand for its default, AdamW.
    """
    split = [part for word in words for part in (word.split() or [""])]
    for texts in (told_optimizers(words), split):
        for optimizer in OPTIMIZERS:
            if any(_names(text, optimizer) for text in texts):
                return optimizer
    return "adamw" if any(normal(word.partition("=")[0]) in TRAINER_FLAGS for word in split) else ""


def told_optimizers(words: Sequence[str]) -> list[str]:
    """The values of --opt, optimizer=… and the like, as they stand."""
    split = [part for word in words for part in (word.split() or [""])]
    flags = {"opt", "optim", "optimizer"}
    return [value for flag, value in _pairs(split) if flags & set(re.split(r"[._]", normal(flag)))]


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """(flag, value) of --flag value, --flag=value and key=value."""
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    following = pairwise(words)
    return pairs + [(flag, value) for flag, value in following if flag.startswith("-") and "=" not in flag]


def _names(text: str, optimizer: str) -> bool:
    whole = rf"(?<![a-z0-9]){optimizer}(?![a-z])"
    if optimizer == "adamw":
        return re.search(whole, text.lower()) is not None
    flag, equals, value = text.partition("=") if text.startswith("-") else ("", "=", text)
    if not equals:
        return re.search(whole + "$", flag.lower()) is not None
    return not re.search(r"[/\\]", value) and re.search(whole, value.lower()) is not None
