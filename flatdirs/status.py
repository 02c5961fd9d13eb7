"""`python -m flatdirs.status`: the same as the console command."""

from flatdirs.cli.status import main

if __name__ == "__main__":
    main()
