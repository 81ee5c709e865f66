"""`conjoin` and `python -m conjoin`: the command line; Ctrl-C makes no traceback from its first import to its exit."""

import gc
import os
import signal
import sys

# How torch's threads wait for one another: a few microseconds awake, then asleep. By themselves they spin for milliseconds,
# which made training beside other work on the same cores many times slower (benchmarks/speed/busy.py).
SPINS = "1000"


def main() -> None:
    """Run the command line."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported, which is later
    try:
        from conjoin.cli import main as run

        run()
    except KeyboardInterrupt:  # outside of any verb
        sys.stderr.write("stopped\n")
        sys.exit(130)
    finally:
        gc.freeze()  # what is left goes with the process: to look through it for cycles took up to a second
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # while Python shuts down


if __name__ == "__main__":
    main()
