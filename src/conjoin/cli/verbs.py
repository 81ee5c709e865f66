"""The verbs by name. The file of a verb is imported when the verb is called; the list of all verbs imports none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup

from conjoin.cli.messages import stopped
from conjoin.errors import unknown_name

# Panel → verb → the first line of the verb's help.
PANELS = {
    "Train and score": {
        "demo": "Train, score and extract on the sample corpus.",
        "train": "Train a joint model, score it on test and save it.",
        "evaluate": "Score a trained model on annotated text.",
        "analyze": "Show which errors a model makes, by kind.",
        "calibrate": "Calibrate scores, with a threshold for each type.",
        "experiment": "Train and score over folds and seeds.",
        "compare": "Test whether one experiment beats another.",
        "tune": "Search over settings for the best scores on dev.",
    },
    "Extract": {
        "extract": "Extract entities and relations from raw text.",
        "bulk": "Extract entities and relations from very many documents.",
        "graph": "Build a knowledge graph from extracted documents.",
        "serve": "Serve a trained model over HTTP.",
    },
    "Data": {
        "check": "Count what annotated files hold and list what is wrong.",
        "convert": "Convert annotated text into another format.",
        "fetch": "Download a public corpus, or say how to get a licensed one.",
        "suggest": "Choose the texts that are most useful to annotate next.",
    },
    "Models": {
        "presets": "List the presets, or print all settings of one.",
        "export": "Export a trained model for ONNX Runtime.",
        "attention": "Draw the attention heads of a model's encoder.",
        "affinity": "Measure how many layers the two tasks should share.",
    },
    "Papers": {
        "reproduce": "Reproduce a table of the papers beside the published one.",
    },
}
VERBS = {verb: line for panel in PANELS.values() for verb, line in panel.items()}


class Verbs(TyperGroup):
    """The group of all verbs. Ctrl-C prints one sentence, which may be the verb's own on how to go on."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise stopped("stopped") from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of a name, or None. Its help is the docstring of its file."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"conjoin.cli.{cmd_name}")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        help = (module.__doc__ or "").replace("\nExamples:", "\n\b\nExamples:")  # not wrapped
        app.command(cmd_name, help=help)(spread(getattr(module, cmd_name)))
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is called. A wrong name is an error with the nearest one."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(unknown_name("command", args[0], VERBS, listed_by="conjoin --help"))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, VERBS))
        for panel, verbs in PANELS.items():
            with formatter.section(panel):
                formatter.write_dl([(verb.ljust(width), line) for verb, line in verbs.items()])


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes the fields of `function`'s groups of options as parameters of its own.

    A parameter whose type is a dataclass is a group: each field becomes a parameter, and so an option of the command line.
    Groups may hold groups.
    """
    types = get_type_hints(function, include_extras=True)
    groups: dict[str, Callable[..., Any]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(types[name]):
            groups[name] = spread(types[name])
            parameters += inspect.signature(groups[name]).parameters.values()
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=types[name]))

    def call(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{option: values.pop(option) for option in inspect.signature(group).parameters})
        return function(**values)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
