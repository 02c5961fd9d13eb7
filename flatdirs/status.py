from flatdirs.cli.status import main

if __name__ == "__main__":
    main()
