from flatdirs.cli.slices import main

if __name__ == "__main__":
    main()
