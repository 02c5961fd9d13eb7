"""A training that is a Python function, tuned by one call: softmax regression on scikit-learn's digits, in numpy."""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits

import flatdirs

PIXELS, LABELS = load_digits(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(len(LABELS))
TRAIN, VALIDATION = ORDER[:900], ORDER[900:]


def train(lr: float, momentum: float, wd: float, seed: int) -> float:
    """Three epochs of SGD. Returns the validation accuracy in percent."""
    x, classes, random = PIXELS / 16, np.eye(10)[LABELS], np.random.default_rng(seed)
    weights, velocity = np.zeros((64, 10)), np.zeros((64, 10))
    for _ in range(3):
        for rows in np.array_split(random.permutation(TRAIN), 57):
            logits = x[rows] @ weights
            chances = np.exp(logits - logits.max(1, keepdims=True))
            chances /= chances.sum(1, keepdims=True)
            gradient = x[rows].T @ (chances - classes[rows]) / len(rows) + wd * weights
            velocity = momentum * velocity + gradient
            weights -= lr * velocity
    return 100 * float(((x[VALIDATION] @ weights).argmax(1) == LABELS[VALIDATION]).mean())


if __name__ == "__main__":
    result = flatdirs.tune(
        train,
        start={"lr": 0.01, "momentum": 0.9, "wd": 5e-4},
        direction="maximize",
        budget=int(sys.argv[1]) if len(sys.argv) > 1 else 15,
    )
    print(result.best, result.verdict and result.verdict.sentence)
