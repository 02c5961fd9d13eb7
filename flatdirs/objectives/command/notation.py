"""Numbers as a command writes them: what counts as a number, and a new value in the notation of the start.

`1e-3` stays scientific (`4e-4`), `0.001` plain (`0.0004`), `.1` and `1.` keep their point, `64` stays a whole number. A
start with a point or an exponent never becomes a whole number: scripts that read values by `ast.literal_eval` or YAML
would take it for another type. What is written parses back to the very float that it stands for.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
LONGEST_PLAIN = 10  # characters of a plain decimal, above which the scientific notation is taken if it is shorter
YAML_SCIENTIFIC = "1.0e+1"  # YAML 1.1 reads 4e-7 as text and 4.0e-7 as a number

_SCIENTIFIC = re.compile(r"(?P<mantissa>[^eE]*)(?P<e>[eE])(?P<sign>[+-]?)(?P<exponent>[0-9]+)")


def is_number(text: str) -> bool:
    """Whether a text is one finite decimal number: 0.1, .1, 1., 1e-3, -2; neither nan nor 1_000."""
    return re.fullmatch(NUMBER, text) is not None and math.isfinite(float(text))


def is_whole(text: str) -> bool:
    """Whether a text is a whole number without point or exponent."""
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None


def written(value: float, like: str) -> str:
    """The finite `value` in the notation of the number `like`; `like` itself where both are equal."""
    if float(like) == value:
        return like
    if is_whole(like) and value == int(value) and (isinstance(value, int) or abs(value) < 10**LONGEST_PLAIN):
        return str(int(value))
    number = Decimal(repr(float(value)))
    if found := _SCIENTIFIC.fullmatch(like):
        return _scientific(number, found)
    plain = _plain(number, like)
    default = _SCIENTIFIC.fullmatch(YAML_SCIENTIFIC)
    assert default is not None
    short = _scientific(number, default)
    return short if len(plain) > max(LONGEST_PLAIN, len(short)) else plain


def _plain(number: Decimal, like: str) -> str:
    """Plain decimals, with as few digits as the float needs: 0.0004, .0004 after .1, 2.0 after 0.1, 2. after 1."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    if "." not in text:
        return text + ("." if like.endswith(".") else ".0" if "." in like else "")
    return re.sub(r"^(-?)0\.", r"\1.", text) if like.lstrip("+-").startswith(".") else text


def _scientific(number: Decimal, like: re.Match[str]) -> str:
    """Scientific notation with the point, the letter and the width of the exponent of `like`."""
    sign, digits, _ = number.normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    mantissa = like["mantissa"]
    point = "." if rest or "." in mantissa else ""
    filled = rest or ("0" if point and not mantissa.endswith(".") else "")
    exponent = number.adjusted() if number else 0
    padded = len(like["exponent"]) > 1 and like["exponent"].startswith("0")
    plus = "+" if like["sign"] == "+" or padded else ""
    size = str(abs(exponent)).zfill(len(like["exponent"]) if padded else 1)
    return f"{'-' if sign else ''}{first}{point}{filled}{like['e']}{'-' if exponent < 0 else plus}{size}"
