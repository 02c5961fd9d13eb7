"""Whether the edge-of-stability metric and the pruners earn their place: recorded runs, replays, and real sweeps."""
