"""Entry point of ``gpu-logreg`` and ``python -m gpu_logreg``: handlers for signals are set before the slow imports."""

from __future__ import annotations

import os
import signal
import sys

from gpu_logreg.command.interruption import answer_signals, open_closed_streams, received_signal, signal_meaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and exit."""
    open_closed_streams()
    answer_signals()
    try:
        from gpu_logreg.command.cli import main as run  # slow; the handlers above are set already

        run()
    except SystemExit as end:
        if received_signal() and isinstance(end.code, int):  # do not wait for threads that are in a pass
            os._exit(end.code)
        raise
    except KeyboardInterrupt:
        number = received_signal() or signal.SIGINT
        sys.stderr.write(f"error: {signal_meaning(number)}\n")
        os._exit(128 + number)


if __name__ == "__main__":
    main()
