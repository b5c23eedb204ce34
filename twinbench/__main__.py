"""``python -m twinbench``: the command line, where no script of that name is on the path."""

from twinbench.cli import run

if __name__ == "__main__":
    run()
