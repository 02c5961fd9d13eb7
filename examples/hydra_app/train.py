"""A Hydra app in the shape of the Lightning-Hydra template: nested configuration, objects made by `_target_`.

`main` returns the value named by `optimized_metric`, which is all that a sweeper needs. Plain torch, on scikit-learn's
digits. Written anew.
"""

from __future__ import annotations

import hydra
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy


def data(config: DictConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images and labels to train on, then those to validate with; the same split every time."""
    pixels, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    images, labels = torch.tensor(pixels / 16, dtype=torch.float32)[order], torch.tensor(classes)[order]
    size = config.train_images
    return images[:size], labels[:size], images[size:], labels[size:]


def train(config: DictConfig) -> dict[str, float]:
    """Train, and return the metrics of the last epoch by name."""
    if config.seed is not None:
        torch.manual_seed(config.seed)
    images, labels, val_images, val_labels = data(config.data)
    model = hydra.utils.instantiate(config.model)
    optimizer = hydra.utils.instantiate(config.optimizer)(model.parameters())
    steps = config.trainer.epochs * -(-len(images) // config.data.batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.optimizer.lr, steps, cycle_momentum=False)
    metrics: dict[str, float] = {}
    for epoch in range(config.trainer.epochs):
        for rows in torch.randperm(len(images)).split(config.data.batch_size):
            loss = cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            logits = model(val_images)
        right = (logits.argmax(1) == val_labels).float().mean().item()
        metrics = {"train/loss": loss.item(), "val/loss": cross_entropy(logits, val_labels).item(), "val/acc": right}
        print(f"epoch {epoch}:", *(f"{name} {value:.4f}" for name, value in metrics.items()))
    return metrics


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> float:
    """Return the metric that a sweeper is to look at."""
    return train(config)[config.optimized_metric]


if __name__ == "__main__":
    main()
