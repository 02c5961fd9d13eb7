"""Three slices of hyperparameter space: are the ridges there, at 45°, and how flat are they?"""
