"""The output of a command as lines, in bounded memory.

`Lines` turns bytes, in whatever pieces they come, into blocks of whole lines; `line_text` is the text of one of them.
Of a line longer than `LIMIT` bytes the first and the last part are kept. metric_numbers and metric_wanted read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LIMIT = 1 << 16  # bytes of a line
_PIECE = 1 << 18  # bytes that are looked at together
_CUT = b"__"  # between the two parts of a line that was cut: neither a name nor a number reaches across it
_ANSI = re.compile(
    rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\r\n]{0,512}(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[0-9=>A-OQ-Zc])"
)
_ANSI_BEGUN = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|\][^\x07\x1b\r\n]{0,512}\x1b?|[()*+])?\Z")
_RANK = re.compile(r"\s{0,20}\[(?:rank|default)[ ]?(\d{1,6})\]:?[ ]?", re.I)


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


def line_text(line: bytes, limit: int = LIMIT) -> str:
    """The text of a line, of a longer one than `limit` bytes its two ends; empty for one of torchrun's other ranks."""
    if len(line) > limit:
        line = line[: limit // 2] + _CUT + line[-limit // 2 :]
    text = line.decode("utf-8", "replace")
    if (rank := _RANK.match(text)) is None:
        return text
    return text[rank.end() :] if int(rank[1]) == 0 else ""
