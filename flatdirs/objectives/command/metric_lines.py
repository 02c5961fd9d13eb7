"""The output of a command as lines, and the named numbers in a line.

`Lines` turns bytes, in whatever pieces they come, into blocks of whole lines; `named_numbers` lists the numbers of a
line under their names, and `Wanted` finds those of one name. All of it takes time proportional to the output, and
memory that does not depend on it: of a longer line than `LIMIT` bytes the first and the last part are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flatdirs.objectives.command.metric_names import FILLERS, NEUTRAL, QUALIFIERS, TEST, TRAINING, VALIDATION, parts

LIMIT = 1 << 16  # bytes of a line
_PIECE = 1 << 18  # bytes that are looked at together
_CUT = b"__"  # between the two parts of a line that was cut: neither a name nor a number reaches across it
_ANSI = re.compile(
    rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\r\n]{0,512}(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[0-9=>A-OQ-Zc])"
)
_ANSI_BEGUN = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|\][^\x07\x1b\r\n]{0,512}\x1b?|[()*+])?\Z")
_RANK = re.compile(r"\s{0,20}\[(?:rank|default)(\d{1,6})\]:[ ]?")


class Lines:
    """Bytes in, blocks of whole lines out: ANSI sequences removed, lines ended by a line feed.

    A line that a carriage return ended keeps it in front of its line feed. One end of `\\r\\n` is a line feed.
    """

    def __init__(self) -> None:
        self._escape = self._return = b""  # the beginning of a sequence; a \r that may have its \n to come
        self._head, self._tail, self._length = b"", b"", 0  # of the unfinished line

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that these bytes complete."""
        for start in range(0, len(data), _PIECE):
            piece = self._returned(self._plain(bytes(data[start : start + _PIECE])))
            end = piece.rfind(b"\n") + 1
            if end:
                first = piece.index(b"\n")
                self._keep(piece[:first])
                yield self._taken() + piece[first:end]
            self._keep(piece[end:])

    def close(self) -> bytes:
        """The unfinished last line."""
        self._keep(self._return)
        self._return = self._escape = b""
        return self._taken()

    def _plain(self, piece: bytes) -> bytes:
        piece = self._escape + piece
        self._escape = b""
        if b"\x1b" not in piece:
            return piece
        if (begun := _ANSI_BEGUN.search(piece, max(0, piece.rfind(b"\x1b", 0, len(piece)) - 600))) is not None:
            self._escape, piece = piece[begun.start() :], piece[: begun.start()]
        return _ANSI.sub(b"", piece)

    def _returned(self, piece: bytes) -> bytes:
        piece = self._return + piece
        self._return = b""
        if b"\r" not in piece:
            return piece
        if piece.endswith(b"\r"):
            self._return, piece = b"\r", piece[:-1]
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\r\n")

    def _keep(self, part: bytes) -> None:
        half = LIMIT // 2
        self._length += len(part)
        free = half - len(self._head)
        if free:
            self._head, part = self._head + part[:free], part[free:]
        if part:
            self._tail = (self._tail + part)[-half:]

    def _taken(self) -> bytes:
        cut = _CUT if self._length > LIMIT else b""
        line = self._head + cut + self._tail
        self._head, self._tail, self._length = b"", b"", 0
        return line


def line_text(line: bytes) -> str:
    """The text of a line; empty for one of torchrun's other ranks."""
    if len(line) > LIMIT:
        line = line[: LIMIT // 2] + _CUT + line[-LIMIT // 2 :]
    text = line.decode("utf-8", "replace")
    if (rank := _RANK.match(text)) is None:
        return text
    return text[rank.end() :] if int(rank[1]) == 0 else ""


@dataclass(frozen=True)
class Number:
    """A number as it was printed. `digits`: significant ones; `percent`: a % follows it."""

    value: float
    text: str
    digits: int
    percent: bool


_NUMBER = r"[-+]?(?:(?:\d{1,40}\.\d{0,40}|\d{1,40}(?!,\d)|\.\d{1,40})(?:e[-+]?\d{1,4})?|nan|inf(?:inity)?)"
_VALUE = (
    rf"(?P<value>{_NUMBER})(?:\s?/\s?(?P<of>\d{{1,15}}))?(?!\w|\.\w|[-:,/]\d)(?P<percent>\s?%)?"
    rf"(?:\s{{0,3}}\(\s{{0,8}}(?:(?:avg|mean|average)[:=]?\s?)?(?P<mean>{_NUMBER})\s?(?P<mean_percent>%)?\s{{0,8}}\))?"
)
_LEFT = r"(?<![\w@/.\-])"
_UNIT = r"\((?P<unit>%|[A-Za-z][^()\d]{0,20})\)"
_BETWEEN = (
    rf"(?![\w@/\-]|\.\w)[\"'`*%↑↓\])]{{0,3}}\s{{0,80}}(?:{_UNIT}\s{{0,80}})?(?:(?:[=:|│┃║：]{{1,2}}>?|->|\.{{2,40}})\s{{0,80}})?"
    r"[\"'`*(]{0,2}(?:(?:np\.|numpy\.|torch\.)?(?:tensor|array|float\d{0,2})\()?"
)
_WORD = r"[^\W\d]\w{0,63}(?:[@/.\-]{1,2}\w{1,63}){0,4}"
_NAMED = re.compile(rf"{_LEFT}(?P<name>{_WORD}(?:[ ]{_WORD}){{0,3}}){_BETWEEN}{_VALUE}", re.I)
_STEP = re.compile(
    rf"{_LEFT}(?:\w{{1,30}}/)?(?P<kind>global[_ ]?step|steps?|iter(?:ation)?s?|itr|epochs?|ep)"
    r"[\"']?\s{0,20}[=:#|│]?\s{0,20}\[?\s{0,8}"
    r"(?P<count>\d{1,15})(?P<rest>\.\d{1,20})?(?!\w|\.\w)(?:\s?/\s?(?P<total>\d{1,15}))?",
    re.I,
)
_COUNTS = re.compile(r"\|\s{0,20}(\d{1,15})/\d{1,15}\s{0,20}\[")  # of a progress bar
_COUNTERS = re.compile(r"(?:.*/)?(?:(?:global_)?steps?|iters?|iterations?|itr|epochs?|ep|batch)", re.I)
_BEFORE = re.compile(r"([^\W\d][\w@/.\-]{0,60})[ ]{1,2}\Z")
_SPLIT = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(VALIDATION | TEST | TRAINING, key=len, reverse=True))})(?![\w])", re.I
)


def number_of(found: re.Match[str]) -> Number | None:
    """The number that a name was found with: the average of `0.81 (0.79)`, the part of `9914/10000`."""
    text, percent, whole = found["value"], found["percent"] is not None, found["of"]
    mean = found["mean"]
    if whole is not None and text.isdigit():
        part, total = int(text), int(whole)
        return Number(part / total, text, _digits(text), False) if part <= max(total, 0) and total else None
    alike = (found["mean_percent"] is not None) == percent
    if mean is not None and alike and (not mean.lstrip("+-").isdigit() or text.lstrip("+-").isdigit()):
        text = mean
    return Number(float(text), text, _digits(text), percent)


def _digits(text: str) -> int:
    mantissa = text.casefold().lstrip("+-").partition("e")[0]
    digits = mantissa.replace(".", "")
    return len(digits.lstrip("0")) or len(mantissa.partition(".")[2]) if digits.isdigit() else 0


def step_of(line: str) -> int | None:
    """The step or epoch of a line: the first of a step, an epoch, a step of a known total, a progress bar's count.

    A step of a known total beside an epoch counts within the epoch. A part of an epoch is no step.
    """
    steps: list[int] = []
    epochs: list[int] = []
    within: list[int] = []
    for found in _STEP.finditer(line):
        if found["rest"] is not None and float(found["rest"]) != 0:
            continue
        kind = epochs if found["kind"].casefold().startswith("ep") else within if found["total"] else steps
        kind.append(int(found["count"]))
    if counts := steps or epochs or within:
        return counts[0]
    bar = _COUNTS.search(line) if "|" in line else None
    return int(bar[1]) if bar is not None else None


def bare_number(line: str) -> Number | None:
    """The number that is all of a line, None for any other line."""
    found = re.fullmatch(rf"\s*{_VALUE}\s*", line[:200], re.I) if len(line) <= 200 else None
    return None if found is None else number_of(found)


def named_numbers(line: str) -> Iterator[tuple[str, Number]]:
    """The numbers of a line under their names, without steps and epochs.

    A name is the words before its number, without such as INFO; where its last word is an identifier (val_acc, Acc@1)
    it is this, with best, train and the like where they stand before it.
    """
    for found in _NAMED.finditer(line):
        words = found["name"].split(" ")
        while len(words) > 1 and words[0].casefold() in FILLERS:
            del words[0]
        if re.search(r"[_/@]", words[-1]):
            begin = len(words) - 1
            while begin and words[begin - 1].casefold() in QUALIFIERS:
                begin -= 1
            del words[:begin]
        if _COUNTERS.fullmatch(words[-1]):
            continue
        if (number := number_of(found)) is not None:
            yield " ".join(words), number


@dataclass(frozen=True)
class Hit:
    """A number of the name that was asked for. The lower `tier`, the closer `name` is to it."""

    tier: tuple[int, int]
    name: str
    number: Number
    test: bool


class Wanted:
    """Finds the numbers of one name in lines.

    A name is bounded on both sides, and by words: `loss` is neither in `val_loss` nor in `val loss`, nor `acc` in
    `best acc`. Tiers, the first that occurs counts: the name itself (as it is, but for upper and lower case, but for
    its separators), the part of the data before its other words (val acc in `val loss 0.3 acc 0.9`), and the name with
    another word before it (`box loss`).
    """

    def __init__(self, name: str) -> None:
        self._name = name
        words = [word for word in re.split(r"[\s_\-/]+", name) if word]
        self._whole = _pattern(words or [name])
        self._of = _split_of(words[0]) if len(words) > 1 else None
        self._rest = _pattern(words[1:]) if self._of else None
        self.key = _key(words[1:] if self._of else words, name)

    def hits(self, line: str) -> list[Hit]:
        """All numbers of the name, those of the best tier only."""
        found = list(self._found(line, self._whole, whole=True))
        if self._rest is not None and not any(hit.tier[0] == 0 for hit in found):
            found += self._found(line, self._rest, whole=False)
        best = min((hit.tier for hit in found), default=(0, 0))
        return [hit for hit in found if hit.tier == best]

    def _found(self, line: str, pattern: re.Pattern[str], whole: bool) -> Iterator[Hit]:
        for found in pattern.finditer(line):
            before = _words_before(line, found.start())
            number = number_of(found)
            other = not QUALIFIERS.isdisjoint([*parts(found["unit"] or ""), *(word.casefold() for word in before)])
            if number is None or other:
                continue
            name, split = found["name"], _split_before(line, found.start())
            if whole:
                tier = (2 if before else 0, _likeness(name, self._name))
                yield Hit(tier, " ".join([*before, name]), number, split == "test")
            elif split == self._of and not before:
                yield Hit((1, 0), name.casefold(), number, split == "test")


def _pattern(words: list[str]) -> re.Pattern[str]:
    name = r"[\s_\-/]{1,3}".join(map(re.escape, words))
    return re.compile(rf"{_LEFT}(?P<name>{name}){_BETWEEN}{_VALUE}", re.I)


def _key(words: list[str], name: str) -> bytes:
    """Bytes in small letters that every line with the name has."""
    ascii_parts = re.findall(r"[a-z0-9@.]+", " ".join(words).casefold()) if name.isascii() else []
    return max(reversed(ascii_parts), key=len).encode() if ascii_parts else b""


def _likeness(name: str, asked: str) -> int:
    return 0 if name == asked else 1 if name.casefold() == asked.casefold() else 2


def _words_before(line: str, start: int) -> list[str]:
    """The words directly before a name, up to three, without neutral ones."""
    words: list[str] = []
    for _ in range(3):
        found = _BEFORE.search(line[max(0, start - 70) : start])
        if found is None:
            break
        if found[1].casefold() not in NEUTRAL:
            words.insert(0, found[1])
        start -= len(found[0])
    return words


def _split_of(word: str) -> str | None:
    word = word.casefold()
    return "val" if word in VALIDATION else "test" if word in TEST else "train" if word in TRAINING else None


def _split_before(line: str, start: int) -> str | None:
    found = _SPLIT.findall(line, max(0, start - 400), start)
    return _split_of(found[-1]) if found else None
