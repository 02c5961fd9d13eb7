"""`python -m flatdirs.find_lr`: the same as the console command."""

from flatdirs.cli.find_lr import main

if __name__ == "__main__":
    main()
