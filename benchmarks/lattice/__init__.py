"""Lattices of real training runs: the surfaces that searches are compared on."""
