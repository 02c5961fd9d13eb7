"""A setting for another batch size, run length, data set, momentum, optimizer, rank or width, by rules from papers."""
