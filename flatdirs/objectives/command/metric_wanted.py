"""Finds the numbers of one name, the metric's, in lines of output.

A name is bounded on both sides, and by words: `loss` is neither in `val_loss` nor in `val loss`, nor `acc` in
`best acc`. Names that fit have tiers, and the best that occurs in an output counts: the name itself (as it is, but for
upper and lower case, but for its separators), the part of the data before its other words (val acc in
`val: loss 0.3 acc 0.9`), and the name with another word before it (`box loss` for `loss`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from flatdirs.objectives.command.metric_names import NEUTRAL, QUALIFIERS, TEST, TRAINING, VALIDATION, parts
from flatdirs.objectives.command.metric_numbers import BETWEEN, BOUND, VALUE, Number, lowered, number_of

_BEFORE = re.compile(rf"(?<![{BOUND}])([^\W\d][\w@/.\-]{{0,60}}(?:'s)?)[ ]{{1,2}}\Z")
_BOUND = re.compile(rf"[{BOUND}]")
_ENDS_NO_WORD = frozenset(",:;|│*)]}")
_SPLITS = {**dict.fromkeys(VALIDATION, "val"), **dict.fromkeys(TEST, "test"), **dict.fromkeys(TRAINING, "train")}
_SPLIT = re.compile(r"(?:train|val|eval|test|dev)[a-z]{0,7}")
_IN_SPLIT = {"val": (b"val", b"dev"), "test": (b"test",), "train": (b"train",)}  # one of these is in each word for it


class Hit(NamedTuple):
    """A number of the wanted name. The lower `tier`, the closer `name` is to it; `start`: its place."""

    tier: tuple[int, int]
    name: str
    number: Number
    start: int


class Wanted:
    """The patterns of one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        words = [word for word in re.split(r"[\s_\-/]+", lowered(name)) if word] or [name]
        self._whole = _pattern(words)
        self._of = _SPLITS.get(words[0]) if len(words) > 1 else None
        self._rest = _pattern(words[1:]) if self._of else None
        keys = [_key(word) for word in (words[1:] if self._of else words)]
        self.key = max(reversed(keys), key=len)
        self._keys: list[tuple[bytes, ...]] = [(key,) for key in keys if key != self.key]
        if self._of:
            self._keys.append(_IN_SPLIT[self._of])

    def blocks(self, block: bytes) -> Iterator[bytes]:
        """Those of these whole lines that may have the name."""
        small = block.lower()
        if not self._may(small):
            return
        begin, at = 0, small.find(self.key)
        while at >= 0:
            begin = small.rfind(b"\n", begin, at) + 1 or begin
            end = small.index(b"\n", at)
            if not self._keys or self._may(small[begin:end]):
                yield block[begin:end]
            begin = end + 1
            at = small.find(self.key, begin) if begin < len(small) else -1

    def _may(self, small: bytes) -> bool:
        return all(any(key in small for key in keys) for keys in self._keys)

    def hits(self, line: str, low: str) -> list[Hit]:
        """All numbers of the name in a line, those of the best tier only. `low`: the line in small letters."""
        found = list(self._found(line, low, self._whole))
        if self._rest is not None and not any(hit.tier[0] == 0 for hit in found):
            found += self._found_apart(line, low, self._rest)
        if len(found) > 1:
            best = min(hit.tier for hit in found)
            found = [hit for hit in found if hit.tier == best]
            return found if best[0] == 2 else _told_apart(found, low)
        return found

    def _found(self, line: str, low: str, pattern: re.Pattern[str]) -> Iterator[Hit]:
        """The name itself, perhaps after another word."""
        for found, before, number in _matches(line, low, pattern):
            name = line[found.start() : found.end("name")]
            like = 0 if name == self._name else 1 if name.lower() == self._name.lower() else 2
            tier = (2 if before else 0, like)
            yield Hit(tier, " ".join([*before, name]), number, found.start())

    def _found_apart(self, line: str, low: str, pattern: re.Pattern[str]) -> Iterator[Hit]:
        """The name without its part of the data, which stands before it in the line."""
        for found, before, number in _matches(line, low, pattern):
            if not before and split_before(low, found.start()) == self._of:
                yield Hit((1, 0), found["name"], number, found.start())


def _told_apart(hits: list[Hit], low: str) -> list[Hit]:
    """The hits of a line, with the part of the data in their names where they are of several."""
    of = [split_before(low, hit.start) for hit in hits]
    if len(set(of)) == 1:
        return hits
    return [hit._replace(name=f"{split or ''} {hit.name}".lstrip()) for hit, split in zip(hits, of, strict=True)]


def _pattern(words: list[str]) -> re.Pattern[str]:
    name = r"[\s_\-/]{1,3}".join(map(re.escape, words))
    return re.compile(rf"(?P<name>{name}){BETWEEN}{VALUE}")


def _key(word: str) -> bytes:
    """Bytes in small letters that are in every spelling of a word; bytes know no capitals beyond ASCII."""
    plain: list[str] = re.findall(r"[!-~]+", word)
    return max(plain, key=len, default="").encode()


def _matches(line: str, low: str, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], list[str], Number]]:
    """The names that are bounded and of the metric itself, with the words before them and their numbers."""
    for found in pattern.finditer(low):
        start, unit = found.start(), found["unit"]
        if start and _BOUND.match(low, start - 1):
            continue
        before = _words_before(line, start) if start > 1 and low[start - 1] == " " else []
        if before and not QUALIFIERS.isdisjoint(word.lower() for word in before):
            continue
        if unit is not None and not QUALIFIERS.isdisjoint(parts(unit)):
            continue
        if (number := number_of(found)) is not None:
            yield found, before, number


def _words_before(line: str, start: int) -> list[str]:
    """The words directly before a name, up to three, without neutral ones."""
    words: list[str] = []
    if line[start - 2] in _ENDS_NO_WORD:
        return words
    for _ in range(3):
        found = _BEFORE.search(line[max(0, start - 70) : start])
        if found is None:
            break
        if found[1].lower() not in NEUTRAL:
            words.insert(0, found[1])
        start -= len(found[0])
    return words


def split_before(low: str, start: int) -> str | None:
    """The part of the data that is named last before a place in a line."""
    begin = max(0, start - 400)
    for found in reversed(list(_SPLIT.finditer(low, begin, start))):
        bounded = not found.start() or not (low[found.start() - 1].isalnum() or low[found.start() - 1] == "_")
        if bounded and found[0] in _SPLITS and not low[found.end() : found.end() + 1].isalnum():
            return _SPLITS[found[0]]
    return None
