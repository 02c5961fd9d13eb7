"""`python -m flatdirs.train`: the same as the console command."""

from flatdirs.cli.train import main

if __name__ == "__main__":
    main()
