"""A Lightning module with AdamW, tuned as an Optuna study: our sampler, our pruner, Optuna's callback for Lightning.

    python train.py [TRIALS]

Takes `pip install 'flatdirs[recipes]'`.
"""

from __future__ import annotations

import logging
import sys

import lightning
import optuna
import torch
from optuna_integration.pytorch_lightning import PyTorchLightningPruningCallback
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

from flatdirs import FlatDirectionsSampler, IncumbentPruner

EPOCHS = 6


class Digits(lightning.LightningModule):
    """Two linear layers on 8×8 digits."""

    def __init__(self, lr: float, wd: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """The loss of one batch."""
        return cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        """Log the accuracy of one batch."""
        self.log("val_acc", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["wd"])


def loaders() -> tuple[DataLoader, DataLoader]:
    """900 digits to train on, 897 to validate with; the same ones every time."""
    pixels, labels = load_digits(return_X_y=True)
    digits = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels))
    training, validation = random_split(digits, [900, 897], torch.Generator().manual_seed(0))
    return DataLoader(training, 32, shuffle=True), DataLoader(validation, 897)


def objective(trial: optuna.Trial) -> float:
    """Train once with what the trial suggests. Returns the last validation accuracy."""
    module = Digits(trial.suggest_float("lr", 1e-5, 1.0, log=True), trial.suggest_float("wd", 1e-5, 1.0, log=True))
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[PyTorchLightningPruningCallback(trial, monitor="val_acc")],
    )  # fmt: skip
    trainer.fit(module, *loaders())
    return trainer.callback_metrics["val_acc"].item()


def main() -> None:
    """Search from AdamW's usual settings and print what was found."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    sampler = FlatDirectionsSampler(chart="adamw", start={"lr": 1e-3, "wd": 1e-2})
    study = optuna.create_study(sampler=sampler, pruner=IncumbentPruner(), direction="maximize")
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    print(f"start: {study.trials[0].value:.4f}, best: {study.best_value:.4f} with {study.best_params}")


if __name__ == "__main__":
    main()
