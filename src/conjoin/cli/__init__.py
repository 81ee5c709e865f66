"""The command line: one file per verb.

The docstring of the file is the verb's help, and the function of the same name takes its arguments and options. What is
slow to import, such as torch, is imported inside the function, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path

import typer

from conjoin.cli.verbs import Verbs
from conjoin.errors import ConjoinError, LostProcessError, SettingError, needs_train_extra
from conjoin.parallel.launcher import launched_processes, launched_rank
from conjoin.version import __version__

app = typer.Typer(
    name="conjoin",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
LAUNCHER_SECONDS = 5.0  # more than a launcher takes to stop all processes after one has failed


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and stop.")
) -> None:
    """Find entities and the relations between them: train, score honestly, extract from raw text."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if launched_processes() > 1 and context.invoked_subcommand not in (None, "train"):
        raise SettingError(f"{launched_processes()} processes were started together, and only conjoin train shares its "
                           f"work among them; start conjoin {context.invoked_subcommand} by itself")


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 Ctrl-C."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if launched_processes() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else each run warns that all parameters are in use
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # JSON is UTF-8 whatever the terminal; \ud800 stays an escape in it
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.getLogger("conjoin").handlers[:] = [PlainLines()]
    try:
        with silent_unless_first(), needs_train_extra():
            app(prog_name="conjoin")
    except ConjoinError as error:
        wait_for_launcher(error)
        fail(str(error))
    except OSError as error:
        wait_for_launcher(error)
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}; check the path, its permissions and the space left on the disk")


@contextmanager
def silent_unless_first() -> Iterator[None]:
    """Silence all but the first of several processes that train together, save for errors."""
    if launched_rank() == 0:
        yield
        return
    with Path(os.devnull).open("w") as null, redirect_stdout(null), redirect_stderr(null):
        yield


def wait_for_launcher(error: Exception) -> None:
    """Let the launcher stop this process before it prints an error that another prints too, or has caused."""
    if launched_rank() > 0 or isinstance(error, LostProcessError):
        time.sleep(LAUNCHER_SECONDS)


class PlainLines(logging.Handler):
    """Prints warnings of the library as plain lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


def fail(message: str) -> None:
    """Print one sentence on standard error and exit with 1."""
    typer.secho(f"conjoin: {message}", err=True, fg="red")
    sys.exit(1)
