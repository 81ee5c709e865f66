"""`conjoin` and `python -m conjoin`: the command line. Ctrl-C prints no traceback, from the first import to the exit."""

import gc
import os
import signal
import sys

# Threads of torch that wait for one another spin for a few microseconds, then sleep. The default is milliseconds, which
# makes training beside other work on the same cores many times slower (benchmarks/speed/busy.py).
SPIN_COUNT = "1000"


def main() -> None:
    """Run the command line."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # before torch is imported
    try:
        from conjoin.cli import main as run

        run()
    except KeyboardInterrupt:  # outside any verb
        sys.stderr.write("stopped\n")
        sys.exit(130)
    finally:
        gc.freeze()  # skips the last collection, which takes up to a second
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # while Python shuts down


if __name__ == "__main__":
    main()
