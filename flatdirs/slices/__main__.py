"""`python -m flatdirs.slices`: the same as the console command."""

from flatdirs.cli.slices import main

if __name__ == "__main__":
    main()
