"""Runs to target: every search against the field, on smooth fits to lattices of real runs."""
