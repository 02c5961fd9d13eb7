from flatdirs.cli.analyze import main

if __name__ == "__main__":
    main()
