"""What every test of a wrong setting checks: the class of the error, its key, and that it is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flatdirs.errors import FlatdirsError


@contextmanager
def refused(kind: type[FlatdirsError], key: str, word: str = "") -> Iterator[None]:
    """The block raises `kind` with this key, and with `word` in its sentence."""
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.key == key
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
