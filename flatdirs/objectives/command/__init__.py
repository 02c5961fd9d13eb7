"""A command as the objective: which of its words are hyperparameters, how it is run, and the number it prints."""
