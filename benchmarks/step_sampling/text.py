"""Next-character prediction on the text of `pydoc_data.topics`: its first nine tenths train, the last tenth validates."""

from __future__ import annotations

import platform
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONTEXT = 32  # characters in a window


@dataclass(frozen=True)
class Characters:
    """A text as numbers: `codes` (n,), int64, each below `distinct`."""

    data: str  # name and checksum
    codes: Tensor
    distinct: int

    def windows(self, seed: int, steps: int, batch_size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """Batches of random windows of the first nine tenths, drawn with 2·seed + 1."""
        codes, drawn = self.codes[: len(self.codes) * 9 // 10].to(device), torch.Generator().manual_seed(2 * seed + 1)
        ends = (0, len(codes) - CONTEXT, (batch_size,))
        return [_cut(codes, torch.randint(*ends, generator=drawn)) for _ in range(steps)]

    def held_out(self, batch_size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """Every whole batch of windows side by side over the last tenth."""
        codes = self.codes[len(self.codes) * 9 // 10 :].to(device)
        starts = torch.arange(0, len(codes) - CONTEXT, CONTEXT)
        return [_cut(codes, some) for some in starts[: len(starts) // batch_size * batch_size].split(batch_size)]


def _cut(codes: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (batch, CONTEXT) from `starts` on, and the same one character on."""
    windows = codes[(starts.unsqueeze(1) + torch.arange(CONTEXT + 1)).to(codes.device)]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def load_text() -> Characters:
    """All topics, one after another: 465,000 characters of Python 3.11's."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    alphabet = {character: code for code, character in enumerate(sorted(set(text)))}
    codes = torch.tensor([alphabet[character] for character in text])
    data = f"pydoc_data.topics of Python {platform.python_version()} {zlib.crc32(text.encode('utf-8')):08x}"
    return Characters(data, codes, len(alphabet))


class NextCharacter(nn.Module):
    """A causal `nn.TransformerEncoder`: windows (batch, time ≤ CONTEXT) → logits (batch, time, characters)."""

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
        found = self.embedding(windows) + self.position(torch.arange(time, device=windows.device))
        return self.head(self.encoder(found, mask=self.mask[:time, :time], is_causal=True))
