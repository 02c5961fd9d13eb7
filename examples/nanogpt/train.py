"""A small transformer that predicts the next character: the command line and printed lines of nanoGPT's train.py.

Written anew. The text is the reference that comes with every Python (`help("for")` and so on), so nothing is
downloaded. Settings: the defaults below, then a file in config/, then `--name=value`.
"""

from __future__ import annotations

import math
from pydoc_data.topics import topics
from typing import Any

import torch
from configurator import configure
from torch import nn
from torch.nn.functional import cross_entropy

SETTINGS: dict[str, Any] = {
    "eval_interval": 250, "eval_iters": 20, "max_iters": 1000, "seed": -1,  # -1: other random numbers in every run
    "batch_size": 16, "block_size": 64, "n_layer": 4, "n_head": 4, "n_embd": 64, "dropout": 0.0,
    "learning_rate": 6e-4, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "grad_clip": 1.0, "warmup_iters": 50,
}  # fmt: skip


class Model(nn.Module):
    """Characters and positions embedded, causal attention, logits of the next character."""

    def __init__(self, vocabulary: int, s: dict[str, Any]) -> None:
        super().__init__()
        width = s["n_embd"]
        layer = nn.TransformerEncoderLayer(
            width, s["n_head"], 4 * width, s["dropout"], "gelu", batch_first=True, norm_first=True
        )
        self.characters, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(s["block_size"], width)
        self.blocks = nn.TransformerEncoder(layer, s["n_layer"], nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, time) characters → (batch, time, vocabulary) logits."""
        time = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time)
        x = self.characters(tokens) + self.positions(torch.arange(time))
        return self.head(self.blocks(x, mask=mask, is_causal=True))


def read_text() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Characters to train on, to validate with (the last tenth), and how many there are."""
    text = "\n".join(topics[name] for name in sorted(topics))
    letters = sorted(set(text))
    index = {letter: number for number, letter in enumerate(letters)}
    data = torch.tensor([index[letter] for letter in text])
    return data[: len(data) * 9 // 10], data[len(data) * 9 // 10 :], len(letters)


def batch_of(data: torch.Tensor, s: dict[str, Any], draws: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pieces of the text, and the same one character on."""
    first = torch.randint(len(data) - s["block_size"], (s["batch_size"], 1), generator=draws)
    pieces = data[first + torch.arange(s["block_size"] + 1)]
    return pieces[:, :-1], pieces[:, 1:]


def loss_of(model: Model, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Mean cross entropy per character."""
    return cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


@torch.no_grad()
def estimate(model: Model, data: torch.Tensor, s: dict[str, Any]) -> float:
    """The loss over eval_iters batches, the same ones each time."""
    model.eval()
    draws = torch.Generator().manual_seed(0)
    losses = [loss_of(model, batch_of(data, s, draws)).item() for _ in range(s["eval_iters"])]
    model.train()
    return sum(losses) / len(losses)


def learning_rate(step: int, s: dict[str, Any]) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < s["warmup_iters"]:
        return s["learning_rate"] * (step + 1) / (s["warmup_iters"] + 1)
    done = (step - s["warmup_iters"]) / (s["max_iters"] - s["warmup_iters"])
    return s["learning_rate"] * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def main() -> None:
    """Train, and print both losses at every eval_interval."""
    s = dict(SETTINGS)
    configure(s)
    if s["seed"] >= 0:
        torch.manual_seed(s["seed"])
    draws = torch.Generator().manual_seed(torch.initial_seed())
    train, validation, vocabulary = read_text()
    model = Model(vocabulary, s)
    print(f"number of parameters: {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M")
    optimizer = torch.optim.AdamW(
        model.parameters(), s["learning_rate"], (s["beta1"], s["beta2"]), weight_decay=s["weight_decay"]
    )
    for step in range(s["max_iters"] + 1):
        if step % s["eval_interval"] == 0:
            ours, theirs = estimate(model, train, s), estimate(model, validation, s)
            print(f"step {step}: train loss {ours:.4f}, val loss {theirs:.4f}")
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, s)
        loss = loss_of(model, batch_of(train, s, draws))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), s["grad_clip"])
        optimizer.step()
        if step % 50 == 0:
            print(f"iter {step}: loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
