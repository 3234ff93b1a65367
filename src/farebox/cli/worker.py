"""`python -m farebox.cli.worker`: one worker of `farebox serve --workers 2`, started by the supervisor alone."""

from __future__ import annotations

from farebox.cli.output import Output
from farebox.cli.serving import serve_as_told
from farebox.supervise import Lifeline

if __name__ == "__main__":
    with Output().guard():
        serve_as_told(Lifeline())
