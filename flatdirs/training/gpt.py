"""A small GPT for characters: pre-norm blocks, learned positions, embedding and head tied.

    x = embedding[characters] + position
    x = x + attention(norm(x))     causal, in each of `depth` blocks
    x = x + mlp(norm(x))           four times as wide, GELU
    logits = norm(x) · embeddingᵀ

The layout and the initial weights are those of GPT-2 (normal, 0.02; projections onto the residual stream divided by
√(2·depth)), without dropout, as in https://github.com/karpathy/nanoGPT. Weights are drawn on the CPU from a generator
of the run: the same on every device, and the global random state does not change.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

DEVIATION = 0.02  # of the initial weights


class Attention(nn.Module):
    """Causal self-attention: (batch, time, width) → the same shape; a place sees itself and the places before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = self.mix(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        found: Tensor = self.project(seen.transpose(1, 2).reshape(batch, time, width))
        return found


class Mlp(nn.Module):
    """Two layers with a GELU between them: (…, width) → the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.project = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.project(gelu(self.widen(x), approximate="tanh"))
        return found


class Block(nn.Module):
    """Attention and MLP, each on the normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Gpt(nn.Module):
    """Characters (batch, time ≤ context), int64 → logits (batch, time, vocabulary) of the next one.

    Two buffers tell whoever reads a file of weights what it is for: `sizes`, context, width, depth and heads, and
    `alphabet`, the code points of the characters (vocabulary,).
    """

    sizes: Tensor
    alphabet: Tensor

    def __init__(self, vocabulary: int, context: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("sizes", torch.tensor([context, width, depth, heads], device="cpu"))
        self.register_buffer("alphabet", torch.zeros(vocabulary, dtype=torch.int64, device="cpu"))
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, characters: Tensor) -> Tensor:
        places = self.position.weight[: characters.shape[1]]
        x = self.norm(self.blocks(self.embedding(characters) + places))
        return linear(x, self.embedding.weight)


def build_gpt(
    vocabulary: int, context: int, width: int, depth: int, heads: int, seed: int, device: torch.device
) -> Gpt:
    """Build a network on `device`; its weights depend on `seed` only."""
    with torch.device("meta"):
        model = Gpt(vocabulary, context, width, depth, heads)
    sizes, alphabet = model.sizes, model.alphabet
    model.to_empty(device="cpu")
    model.sizes, model.alphabet = sizes, alphabet
    initialise(model, torch.Generator().manual_seed(seed))
    return model.to(device)


@torch.no_grad()
def initialise(model: Gpt, generator: torch.Generator) -> None:
    """Initialise every weight on the CPU: normal; biases zero, norms the identity."""
    onto_stream = {part.project for part in model.modules() if isinstance(part, (Attention, Mlp))}
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            shrunk = math.sqrt(2 * len(model.blocks)) if module in onto_stream else 1.0
            module.weight.normal_(0.0, DEVIATION / shrunk, generator=generator)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
