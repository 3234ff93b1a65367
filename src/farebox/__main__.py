"""`python -m farebox`: the command line."""

from farebox.cli.app import run

if __name__ == "__main__":
    run()
