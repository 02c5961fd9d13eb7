"""The transformer's text and network: next-character prediction on the documentation that Python carries along.

The text is every topic of `pydoc_data.topics`, in sorted order, 465,000 characters of Python 3.11's; its first nine
tenths are trained on, the last tenth judges. The network is torch's own `nn.TransformerEncoder` under a causal mask:
64 numbers a character, two layers of four heads, dropout 0.1, windows of 32 characters.
"""

from __future__ import annotations

import platform
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONTEXT = 32  # characters in a window


@dataclass(frozen=True)
class Windows:
    """Random windows of `codes`, (batch, CONTEXT) and the same one character on; iterated again, the same again."""

    codes: Tensor
    seed: int
    steps: int
    batch_size: int

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """`steps` batches."""
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.steps):
            starts = torch.randint(0, len(self.codes) - CONTEXT, (self.batch_size,), generator=generator)
            yield _cut(self.codes, starts)


@dataclass(frozen=True)
class Characters:
    """A text as numbers: `codes` (n,), int64, each below `distinct`."""

    name: str
    checksum: str
    codes: Tensor
    distinct: int

    @property
    def trained(self) -> int:
        """How many characters are trained on."""
        return len(self.codes) * 9 // 10

    def windows(self, seed: int, steps: int, batch_size: int, device: torch.device) -> Windows:
        """Training batches in the order of `seed`."""
        return Windows(self.codes[: self.trained].to(device), seed, steps, batch_size)

    def held_out(self, batch_size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """Every whole batch of windows side by side over the last tenth."""
        codes = self.codes[self.trained :].to(device)
        starts = torch.arange(0, len(codes) - CONTEXT, CONTEXT)
        starts = starts[: len(starts) // batch_size * batch_size]
        return [_cut(codes, some) for some in starts.split(batch_size)]


def _cut(codes: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Windows from `starts` on, and what follows each of their characters."""
    places = (starts.unsqueeze(1) + torch.arange(CONTEXT + 1)).to(codes.device)
    windows = codes[places]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def load_text() -> Characters:
    """All topics, one after another."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    alphabet = {character: code for code, character in enumerate(sorted(set(text)))}
    codes = torch.tensor([alphabet[character] for character in text])
    checksum = f"{zlib.crc32(text.encode('utf-8')):08x}"
    return Characters(f"pydoc_data.topics of Python {platform.python_version()}", checksum, codes, len(alphabet))


class NextCharacter(nn.Module):
    """Windows (batch, time ≤ CONTEXT) of character codes → logits (batch, time, characters)."""

    def __init__(self, characters: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.embedding = nn.Embedding(characters, width)
        self.position = nn.Embedding(CONTEXT, width)
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, characters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Every place sees the characters up to its own."""
        time = windows.shape[1]
        places = torch.arange(time, device=windows.device)
        found = self.embedding(windows) + self.position(places)
        found = self.encoder(found, mask=self.mask[:time, :time], is_causal=True)
        logits: Tensor = self.head(found)
        return logits
