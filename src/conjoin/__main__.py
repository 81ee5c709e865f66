"""`conjoin` and `python -m conjoin`: the command line; Ctrl-C makes no traceback from its first import to its exit."""

import gc
import signal
import sys


def main() -> None:
    """Run the command line."""
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
