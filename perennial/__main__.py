"""`perennial`, and `python -m perennial`: the command line."""

import gc


def main() -> None:
    """The processes a server starts import this file too, and not the command line."""
    gc.disable()  # to look for garbage among modules that are being imported takes a tenth of the time, and finds none
    from perennial.cli import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
