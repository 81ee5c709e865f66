"""The command line: one file per verb. Verbs import what is heavy inside, so that `--help` answers at once."""

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
from conjoin.errors import ConjoinError, LostProcessError, SettingError
from conjoin.parallel.launcher import launched_processes, launched_rank
from conjoin.version import __version__

app = typer.Typer(
    name="conjoin",
    cls=Verbs,
    help="Find entities and the relations between them: train, score honestly, extract from raw text.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
SECONDS_TO_BE_ENDED = 5.0  # a launcher looks about ten times a second whether one of its processes has failed


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
    """Run the command line. Exit codes: 0 good, 1 failed, 2 wrong usage."""
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
        with only_the_first_prints():
            app(prog_name="conjoin")
    except ConjoinError as error:
        let_others_speak(error)
        fail(str(error))
    except OSError as error:
        let_others_speak(error)
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}; see that the path is right, that it may be read or written, and that "
             "there is space left")


@contextmanager
def only_the_first_prints() -> Iterator[None]:
    """Of several processes at one training run the others are silent; what ends one of them is still told."""
    if launched_rank() == 0:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def let_others_speak(error: Exception) -> None:
    """Wait before telling what another process tells as well, or what its end has caused: the launcher then ends all."""
    if launched_rank() > 0 or isinstance(error, LostProcessError):
        time.sleep(SECONDS_TO_BE_ENDED)


class PlainLines(logging.Handler):
    """Warnings of the library as plain lines on standard error, above a progress bar that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(record.getMessage(), err=True)


def fail(message: str) -> None:
    """One sentence on standard error, exit code 1."""
    from conjoin.cli.messages import messages

    messages().print(f"conjoin: {message}", markup=False, style="red")
    sys.exit(1)
