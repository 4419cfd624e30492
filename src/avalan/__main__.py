"""The way in, of the command `avalan` and of `python -m avalan`.

The rest is imported inside `start`, where Ctrl-C ends the command without a traceback; before and
after it, Python itself has the word.
"""

import gc
import os
import signal
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # As in `avalan`: it takes longer than all that is imported here.
    from typing import Any

INTERRUPTED = 130
_MANY = 200_000
"""New objects after which the garbage collector looks for those that nobody needs."""
_SOON = "4"
"""OpenBLAS's shortest wait: 2^4 cycles, not 2^26, until a thread without work lets go of its core.

By itself it turns for 30 ms after numpy is imported and after each product, beside the thread that
has work, and two threads of one core halve each other.
"""


def main() -> int:
    """Run the command line.

    Returns:
        The exit code, as of `avalan.cli.main`.
    """
    return start("avalan.cli")


def start(module: str) -> int:
    """Import `module` and run its `main`, quiet about Ctrl-C at any time."""
    # What is imported stays; to look through all of it again and again takes 40 ms.
    gc.set_threshold(_MANY)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _SOON)
    try:
        _replace(signal.default_int_handler, _leave)
        loaded = import_module(module)
        _replace(_leave, signal.default_int_handler)
        code: int = loaded.main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    # Everything is said; what Python still tidies up is not worth a traceback.
    _replace(signal.default_int_handler, _leave)
    return code


def _replace(handler: "Any", other: "Any") -> None:
    """Let `other` handle Ctrl-C in place of `handler`; whoever else does, or ignores it, stays."""
    if signal.getsignal(signal.SIGINT) == handler:
        signal.signal(signal.SIGINT, other)


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
