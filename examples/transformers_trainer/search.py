"""Hugging Face's `Trainer.hyperparameter_search` with our sampler: it hands its further arguments to Optuna.

    python search.py [TRIALS]

A tiny ViT from scratch on scikit-learn's digits, so nothing is downloaded. Takes `pip install 'flatdirs[recipes]'`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import optuna
import torch
from sklearn.datasets import load_digits
from transformers import EvalPrediction, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from flatdirs import FlatDirectionsSampler


def digits() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Examples to train on and to validate with: images of 8×8 pixels, and their classes."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 8 - 1, dtype=torch.float32).view(-1, 1, 8, 8)
    rows = [{"pixel_values": image, "labels": int(label)} for image, label in zip(images, labels, strict=True)]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i] for i in order[:1000]], [rows[i] for i in order[1000:]]


def model() -> ViTForImageClassification:
    """Two layers of width 32 on patches of 2×2 pixels."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.1,
            num_labels=10,
        )
    )  # fmt: skip


def accuracy(predicted: EvalPrediction) -> dict[str, float]:
    """Share of right answers."""
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}


def space(trial: optuna.Trial) -> dict[str, float]:
    """What is searched, and a seed, so that no trial repeats another's random numbers."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1.0, log=True),
        "seed": trial.suggest_int("seed", 0, 9999),
    }


def main() -> None:
    """Search from TrainingArguments' usual learning rate and print what was found."""
    training, validation = digits()
    arguments = TrainingArguments(
        "runs", num_train_epochs=3, per_device_train_batch_size=8, per_device_eval_batch_size=256, use_cpu=True,
        eval_strategy="no", save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        model_init=model, args=arguments, train_dataset=training, eval_dataset=validation, compute_metrics=accuracy
    )
    best = trainer.hyperparameter_search(
        backend="optuna",
        direction="maximize",
        hp_space=space,
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 15,
        sampler=FlatDirectionsSampler(chart="adamw", start={"lr": 5e-5, "wd": 0.01}),
    )
    print(f"best: {best.objective:.4f} with {best.hyperparameters}")


if __name__ == "__main__":
    main()
