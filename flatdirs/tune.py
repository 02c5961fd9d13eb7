"""`python -m flatdirs.tune`: the same as the console command."""

from flatdirs.cli.tune import main

if __name__ == "__main__":
    main()
