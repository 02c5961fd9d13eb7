from flatdirs.cli.find_lr import main

if __name__ == "__main__":
    main()
