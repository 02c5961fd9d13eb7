"""A synthetic language model: its final loss over learning rate and batch size, a pure function without noise.

    L(lr, N) = U − (U − L₀)·exp(−p/(U − L₀))                       L₀ + p near the optimum, at most U
    p = 0.005·x² + 0.03·max(0, x − 2)² + b·(2^(0.28·max(0, −x − 3)) − 1) + 0.0025·y²
    x = log₂(lr/lr*(N))    lr*(N) = 1.797·P^−0.713·D^0.307·(N/N*)^0.3
    y = log₂(N/N*)         N* = 0.581·D^0.571 tokens
    L₀ = 1.69 + 406.4·P^−0.34 + b    b = 410.7·D^−0.28

P: parameters, D: tokens of training, N: tokens per step, U = ln 50257: the loss of a uniform guess.

Found: the step law, lr* and N* (arXiv 2503.04715, refitted from its public runs), the exponent 0.3 of the batch size (the median of
16 public grids), and L₀ with its exponents (arXiv 2203.15556). Ours: one octave off in lr costs 0.005 nats, one in N half of that; from
two octaves too high it is steeper, above four the run diverges; from three octaves too low it costs more than the square, as much as if
the model had seen so many times fewer tokens; no loss is above U. In public runs two seeds differ by about 0.002 nats: NOISE.
"""

from __future__ import annotations

import math

NOISE = 0.002  # nats, standard deviation between seeds
PARAMETERS, TOKENS = 2.1e8, 1.0e10
UNTRAINED = math.log(50257)  # nats
LR_COST, BATCH_COST = 0.005, 0.0025  # nats, one octave off
BATCH_EXPONENT = 0.3
STEEP_FROM, STEEP_COST = 2.0, 0.03  # octaves too high; nats per octave²
DIVERGED_FROM = 4.0  # octaves too high
SLOW_FROM = 3.0  # octaves too low
TOKEN_EXPONENT = 0.28


def optimum(parameters: float = PARAMETERS, tokens: float = TOKENS) -> tuple[float, float]:
    """The best learning rate and the best batch size in tokens per step."""
    return 1.797 * parameters**-0.713 * tokens**0.307, 0.581 * tokens**0.571


def lowest_loss(parameters: float = PARAMETERS, tokens: float = TOKENS) -> float:
    """The loss at the optimum, in nats."""
    return 1.69 + 406.4 * parameters**-0.34 + _of_tokens(tokens)


def loss(lr: float, batch_tokens: float, parameters: float = PARAMETERS, tokens: float = TOKENS) -> float:
    """The loss of a run in nats, without noise; infinite if it diverges. A search maximises −loss.

    `lr`: the highest learning rate; `batch_tokens`: tokens per step; both above 0.
    """
    best_lr, best_batch = optimum(parameters, tokens)
    y = math.log2(batch_tokens / best_batch)
    x = math.log2(lr / best_lr) - BATCH_EXPONENT * y
    if x > DIVERGED_FROM:
        return math.inf
    slow = _of_tokens(tokens) * (2.0 ** (TOKEN_EXPONENT * max(0.0, -x - SLOW_FROM)) - 1.0)
    cost = LR_COST * x**2 + STEEP_COST * max(0.0, x - STEEP_FROM) ** 2 + slow + BATCH_COST * y**2
    room = UNTRAINED - lowest_loss(parameters, tokens)
    return UNTRAINED - room * math.exp(-cost / room)


def _of_tokens(tokens: float) -> float:
    """What the finite number of training tokens adds to the loss."""
    return float(410.7 * tokens**-TOKEN_EXPONENT)
