"""`python -m portside`: the command."""

from portside.cli.start import main

if __name__ == "__main__":
    main()
