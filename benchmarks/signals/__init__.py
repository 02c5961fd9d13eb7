"""What a run tells besides its accuracy, and whether that helps to find better settings."""
