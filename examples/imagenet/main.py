"""Image classification with SGD: the flags and the printed lines of pytorch/examples' imagenet/main.py, on digits.

Written anew, small enough for one core: scikit-learn's 8×8 digits in place of ImageNet. Like the original it draws
other random numbers in every run unless --seed is given, and leaves checkpoint.pth.tar behind.
"""

from __future__ import annotations

import argparse
import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


class Meter:
    """The latest value of a number, and its average."""

    def __init__(self, name: str, form: str) -> None:
        self.name, self.form, self.last, self.sum, self.count = name, form, 0.0, 0.0, 0

    def update(self, value: float, count: int = 1) -> None:
        """Add a value that stands for `count` of them."""
        self.last, self.sum, self.count = value, self.sum + value * count, self.count + count

    def __str__(self) -> str:
        return f"{self.name} {self.last:{self.form}} ({self.sum / max(self.count, 1):{self.form}})"


def loaders(batch_size: int) -> tuple[DataLoader, DataLoader]:
    """1,000 images to train on, 797 to validate with."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels / 8 - 1, dtype=torch.float32).view(-1, 1, 8, 8)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    sets = TensorDataset(images[order], torch.tensor(labels)[order])
    training, validation = (torch.utils.data.Subset(sets, part) for part in (range(1000), range(1000, 1797)))
    return DataLoader(training, batch_size, shuffle=True), DataLoader(validation, 256)


def top(logits: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Percent of the rows with the right class among the k largest."""
    return 100 * (logits.topk(k).indices == labels[:, None]).any(1).float().mean().item()


def one_pass(name: str, loader: DataLoader, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> Meter:
    """Train (or, without an optimizer, validate) on every batch and print the progress. Returns the top-1 meter."""
    clock, losses = Meter("Time", "6.3f"), Meter("Loss", ".4e")
    top1, top5, began = Meter("Acc@1", "6.2f"), Meter("Acc@5", "6.2f"), time.perf_counter()
    model.train(optimizer is not None)
    for batch, (images, labels) in enumerate(loader, 1):
        with torch.set_grad_enabled(optimizer is not None):
            logits = model(images)
            loss = cross_entropy(logits, labels)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for meter, value in ((losses, loss.item()), (top1, top(logits, labels, 1)), (top5, top(logits, labels, 5))):
            meter.update(value, len(labels))
        clock.update((time.perf_counter() - began) / batch)
        if batch % 10 == 1:
            print(f"{name}[{batch:2d}/{len(loader)}]", clock, losses, top1, top5, sep="\t")
    if optimizer is None:
        print(f" *  Acc@1 {top1.sum / top1.count:.3f} Acc@5 {top5.sum / top5.count:.3f}")
    return top1


def main() -> None:
    """Read the flags, train, validate after each epoch, keep a checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", "--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", "--learning-rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--wd", "--weight-decay", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    if args.seed is not None:
        torch.manual_seed(args.seed)

    training, validation = loaders(args.batch_size)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=args.momentum, weight_decay=args.wd)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=max(args.epochs // 2, 1), gamma=0.1)
    for epoch in range(args.epochs):
        one_pass(f"Epoch: [{epoch}]", training, model, optimizer)
        top1 = one_pass("Test: ", validation, model, None)
        scheduler.step()
        state = {"epoch": epoch + 1, "state_dict": model.state_dict(), "acc1": top1.sum / top1.count}
        torch.save(state, "checkpoint.pth.tar")


if __name__ == "__main__":
    main()
