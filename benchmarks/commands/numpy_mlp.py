"""A network with one hidden layer on scikit-learn's digits, in numpy: momentum, weight decay, linear decay of the rate."""

import argparse

import numpy as np
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--momentum", type=float, default=0.9)
parser.add_argument("--weight-decay", type=float, default=5e-4)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

pixels, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
train, val = order[:900], order[900:]
random = np.random.default_rng(args.seed)
weights = [random.normal(size=shape) * np.sqrt(2 / shape[0]) for shape in ((64, 64), (64, 10))]
velocity = [np.zeros_like(w) for w in weights]
x, classes, steps, done = pixels / 16, np.eye(10)[labels], args.epochs * 28, 0
for epoch in range(args.epochs):
    for rows in np.array_split(random.permutation(train), 28):
        hidden = np.maximum(x[rows] @ weights[0], 0)
        logits = hidden @ weights[1]
        chances = np.exp(logits - logits.max(1, keepdims=True))
        error = (chances / chances.sum(1, keepdims=True) - classes[rows]) / len(rows)
        gradients = [x[rows].T @ (error @ weights[1].T * (hidden > 0)), hidden.T @ error]
        for w, v, g in zip(weights, velocity, gradients, strict=True):
            v[:] = args.momentum * v + (g + args.weight_decay * w)
            w[:] = w - args.lr * (1 - done / steps) * v
        done += 1
    guess = (np.maximum(x[val] @ weights[0], 0) @ weights[1]).argmax(1)
    print(f"epoch {epoch}: val_acc={100 * (guess == labels[val]).mean():.3f}")
