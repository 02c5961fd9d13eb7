"""Numbers in a line of output: how they are written, the names they stand under, and the step they belong to.

Every repetition in these patterns is bounded, and so is the time that a line takes, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from flatdirs.objectives.command.metric_names import FILLERS, QUALIFIERS, parts


class Number(NamedTuple):
    """A number as it was printed. `digits`: significant ones; `percent`: a % follows it."""

    value: float
    text: str
    digits: int
    percent: bool


# Patterns for lines in small letters
_NO_WHOLE = (  # behind a whole number: it is cut (1,234 or 1'234), or part of a name (acc[3]: .9, acc (10 images): .9)
    r",\d|['’\u00a0\u2009\u202f]\d{3}(?!\d)|\]?\s?[:=]\s?[-+]?\.?\d|\s[a-z]{1,20}\)\s?[:=]"
)
_NUMBER = (
    rf"[-+]?(?:(?:\d{{1,40}}\.\d{{0,40}}|\d{{1,40}}(?!{_NO_WHOLE})|\.\d{{1,40}})(?:e[-+]?\d{{1,4}})?|nan|inf(?:inity)?)"
)
_NO_VALUE = (  # behind a number: it goes on, an arrow to another one, a progress bar
    r"\w|\.\w|\.?#[iq]|[-:,/]\d|\s{0,3}(?:-{1,2}>|→)\s{0,3}[-+]?\.?\d|%\|[^|]{0,400}\|\s{0,8}[\d.]{1,15}[kmg]?/"
)
VALUE = (
    rf"(?P<value>{_NUMBER})(?:\s?/\s?(?P<of>\d{{1,15}}))?(?!{_NO_VALUE})(?P<percent>\s?%)?"
    rf"(?:\s{{0,3}}\(\s{{0,8}}(?:(?:avg|mean|average)[:=]?\s?)?(?P<mean>{_NUMBER})\s?(?P<mean_percent>%)?\s{{0,8}}\))?"
)
# between a name and its number: a quote or a unit, a sign such as = or │, a quote or a call such as tensor(
BETWEEN = (
    r"(?![\w@/\-]|\.\w)[\"'`*%↑↓\])]{0,3}\s{0,80}(?:\((?P<unit>%|[a-z][^()\d]{0,20})\)\s{0,80})?"
    r"(?:(?:[=:|│┃║：]{1,2}>?|->|\.{2,40})\s{0,80})?"
    r"[\"'`*(]{0,2}(?:(?:np\.|numpy\.|torch\.)?(?:tensor|array|float\d{0,2})\()?(?:\[(?=[^\[\],]{1,40}\]))?"
)
BOUND = r"\w@/.\-"  # what a name may not begin after
_WORD = r"[^\W\d]\w{0,63}(?:[@/.\-]{1,2}\w{1,63}){0,4}"
_NAMED = re.compile(rf"(?<![{BOUND}])(?P<name>{_WORD}(?: {_WORD}){{0,3}}){BETWEEN}{VALUE}")
_BARE = re.compile(rf"\s{{0,80}}{VALUE}\s{{0,80}}")
_STEP = re.compile(
    r"(?P<kind>(?:global[_ ]?)?step|iter(?:ation)?|itr|ep(?:och)?)[\"']?\s{0,20}[=:#|│]?\s{0,20}\[?\s{0,8}"
    r"(?P<count>\d{1,15})(?P<rest>\.\d{1,20})?(?!\w|\.\w)(?:\s?/\s?(?P<total>\d{1,15}))?"
)
_PAIR = re.compile(r"[\d.] {0,3}\( {0,8}-?[\d.]")
_LOOP = re.compile(r"\d ?/ ?\d|\[ {0,8}\d|ep|iter|batch|avg")
_COUNTS = re.compile(r"\|\s{0,20}(\d{1,15})/\d{1,15}\s{0,20}\[")  # of a progress bar
_COUNTERS = re.compile(r"(?:.*/)?(?:(?:global_)?steps?|iters?|iterations?|itr|epochs?|ep|batch)", re.I)


def lowered(line: str) -> str:
    """The line in small letters, each at its place."""
    low = line.lower()
    if len(low) == len(line):
        return low
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in line)


def number_of(found: re.Match[str]) -> Number | None:
    """The number that `VALUE` matched: the average of `0.81 (0.79)`, the part of `9914/10000`; None for `12/10`."""
    text, of, percent, mean, mean_percent = found.group("value", "of", "percent", "mean", "mean_percent")
    if of is not None and text.isdigit():
        part, total = int(text), int(of)
        return Number(part / total, text, _digits(text), False) if total and part <= total else None
    if mean is not None and (mean_percent is None) == (percent is None) and _is_average(mean, text, found.string):
        text = mean
    return Number(float(text), text, _digits(text), percent is not None)


def _is_average(mean: str, text: str, line: str) -> bool:
    """Whether a number in parentheses is the average of the one before it.

    A count is not, nor is the standard deviation in `accuracy: 0.931 (0.012)`: far smaller, once, in no loop; nor the
    difference in `loss: 0.31 (-0.02)`: with a sign of its own, once.
    """
    if mean.startswith("+") or (mean.isdigit() and not text.lstrip("+-").isdigit()):
        return False
    if len(_PAIR.findall(line)) > 1:
        return True
    if mean.startswith("-") and not text.startswith("-"):
        return False
    return not 0 < 8 * float(mean) < float(text) or _LOOP.search(line) is not None


def _digits(text: str) -> int:
    mantissa = text.lstrip("+-").partition("e")[0]
    digits = mantissa.replace(".", "")
    if not digits.isdigit():
        return 0
    return len(digits.lstrip("0")) or len(mantissa.partition(".")[2])


def step_of(low: str) -> int | None:
    """The step or epoch of a line: the first of a step, an epoch, a step of a known total, a progress bar's count.

    A step of a known total beside an epoch counts within the epoch. A part of an epoch is no step.
    """
    epoch: int | None = None
    within: int | None = None
    for found in _STEP.finditer(low) if "ep" in low or "it" in low else ():
        kind, count, rest, total = found.group("kind", "count", "rest", "total")
        begin = found.start()
        bounded = not begin or not (low[begin - 1].isalnum() or low[begin - 1] in "_@.-")
        if not bounded or (rest is not None and float(rest) != 0):
            continue
        if kind.startswith("ep"):
            epoch = int(count) if epoch is None else epoch
        elif total is None:
            return int(count)
        elif within is None:
            within = int(count)
    if epoch is not None or within is not None:
        return within if epoch is None else epoch
    bar = _COUNTS.search(low) if "|" in low else None
    return int(bar[1]) if bar is not None else None


def bare_number(line: str) -> Number | None:
    """The number that is all of a line, None for any other line."""
    found = _BARE.fullmatch(line.lower()) if len(line) <= 200 else None
    return None if found is None else number_of(found)


def named_numbers(line: str) -> Iterator[tuple[str, Number]]:
    """The numbers of a line under their names, without steps and epochs.

    A name is the words before its number, without such as INFO; where its last word is an identifier (val_acc, Acc@1)
    it is this, with best, train and the like where they stand before it.
    """
    for found in _NAMED.finditer(lowered(line)):
        name = _name(line[found.start("name") : found.end("name")].split(" "))
        if _COUNTERS.fullmatch(name[-1]):
            continue
        unit = found["unit"]
        if unit is not None and not QUALIFIERS.isdisjoint(parts(unit)):
            name.append(f"({line[found.start('unit') : found.end('unit')]})")
        if (number := number_of(found)) is not None:
            yield " ".join(name), number


def _name(words: list[str]) -> list[str]:
    begin = 0
    while begin < len(words) - 1 and words[begin].lower() in FILLERS:
        begin += 1
    if any(mark in words[-1] for mark in "_/@"):
        begin = len(words) - 1
        while begin and words[begin - 1].lower() in QUALIFIERS:
            begin -= 1
    return words[begin:]
