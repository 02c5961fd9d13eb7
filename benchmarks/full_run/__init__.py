"""How long the source's own task takes here: CIFAR-10, width 64, 24 epochs, by its first epochs."""
