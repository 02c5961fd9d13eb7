"""scikit-learn's MLPClassifier on its digits. Prints `val_acc: …`."""

from __future__ import annotations

import argparse
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate-init", type=float, default=0.001)
parser.add_argument("--momentum", type=float, default=0.9)
parser.add_argument("--alpha", type=float, default=1e-4, help="the L2 penalty")
parser.add_argument("--seed", type=int, default=None)
args = parser.parse_args()

warnings.simplefilter("ignore", ConvergenceWarning)  # ten epochs are meant
pixels, labels = load_digits(return_X_y=True)
x, x_val, y, y_val = train_test_split(pixels / 16, labels, test_size=800, random_state=0, stratify=labels)
model = MLPClassifier(
    hidden_layer_sizes=(64,), solver="sgd", batch_size=32, max_iter=10, random_state=args.seed,
    learning_rate_init=args.learning_rate_init, momentum=args.momentum, alpha=args.alpha,
)  # fmt: skip
model.fit(x, y)
print(f"train_loss: {model.loss_:.4f}")
print(f"val_acc: {model.score(x_val, y_val):.4f}")
