"""A convolutional network on MNIST with Adadelta: the flags and the printed lines of pytorch/examples' mnist/main.py.

Written anew. Adadelta's learning rate is the one thing to tune here: the script has no momentum and no weight decay.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def network() -> nn.Module:
    """Two convolutions and two linear layers, with dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(400, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10),
    )  # fmt: skip


def train(
    args: argparse.Namespace, model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, epoch: int
) -> None:
    """One epoch."""
    model.train()
    for batch, (images, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        if batch % args.log_interval == 0:
            seen, total = batch * len(images), len(loader.dataset)
            print(f"Train Epoch: {epoch} [{seen}/{total} ({100 * batch / len(loader):.0f}%)]\tLoss: {loss.item():.6f}")


@torch.no_grad()
def test(model: nn.Module, loader: DataLoader) -> None:
    """Print loss and accuracy on the test set."""
    model.eval()
    loss, correct, total = 0.0, 0, len(loader.dataset)
    for images, labels in loader:
        logits = model(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(1) == labels).sum())
    rate = 100 * correct / total
    print(f"\nTest set: Average loss: {loss / total:.4f}, Accuracy: {correct}/{total} ({rate:.0f}%)\n")


def main() -> None:
    """Read the flags, train, test after each epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--test-batch-size", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.7, help="the learning rate's factor after each epoch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    training = datasets.MNIST("../data", train=True, download=True, transform=scale)
    testing = datasets.MNIST("../data", train=False, transform=scale)
    loader = DataLoader(training, args.batch_size, shuffle=True)
    test_loader = DataLoader(testing, args.test_batch_size)

    model = network()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=args.gamma)
    for epoch in range(1, args.epochs + 1):
        train(args, model, loader, optimizer, epoch)
        test(model, test_loader)
        scheduler.step()


if __name__ == "__main__":
    main()
