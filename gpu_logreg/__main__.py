"""Where the program begins, as ``gpu-logreg`` or as ``python -m gpu_logreg``: signals are answered before all else."""

from __future__ import annotations

import os
import signal
import sys

from gpu_logreg.command.interruption import answer_signals, ending, open_closed_streams, received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and exit."""
    open_closed_streams()
    answer_signals()
    try:
        from gpu_logreg.command.cli import main as run  # takes a good part of a second, in which Ctrl-C is answered

        run()
    except SystemExit as end:
        if received() and isinstance(end.code, int):  # threads may be in the midst of a pass that nobody waits for
            os._exit(end.code)
        raise
    except KeyboardInterrupt:
        number = received() or signal.SIGINT
        sys.stderr.write(f"error: {ending(number)}\n")
        os._exit(128 + number)


if __name__ == "__main__":
    main()
