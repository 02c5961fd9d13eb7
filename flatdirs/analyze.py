"""`python -m flatdirs.analyze`: the same as the console command."""

from flatdirs.cli.analyze import main

if __name__ == "__main__":
    main()
