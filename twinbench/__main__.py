"""The main program: the command ``twinbench``, and ``python -m twinbench`` where it is not on the path."""

import signal


def main() -> None:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it is loaded, Ctrl-C would print a traceback
    from twinbench.cli import run

    run()


if __name__ == "__main__":
    main()
