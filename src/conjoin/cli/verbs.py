"""The verbs by name. A verb's file is imported when that verb is called: the list of all needs none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# What each is for, as the first line of its own help says.
VERBS = {
    "train": "Train a joint model, score it on test and save it.",
    "evaluate": "Score a trained model on annotated text.",
    "calibrate": "Make scores mean what they say, with a least score for each type.",
    "errors": "Show what a model gets wrong, by kind.",
    "experiment": "Train and score over folds and seeds.",
    "compare": "Say whether one experiment beats another.",
    "reproduce": "Run a table of the papers and print ours beside theirs.",
    "tune": "Search over settings for the best scores on dev.",
    "affinity": "Find how many layers the two tasks want to share.",
    "suggest": "Choose the texts that are worth most to annotate next.",
    "attention": "Draw what the heads of a model's encoder look at.",
    "extract": "Find entities and relations in raw text.",
    "bulk": "Find entities and relations in very many documents.",
    "graph": "Make a knowledge graph of extracted documents.",
    "serve": "Serve a trained model over HTTP.",
    "export": "Export a trained model for ONNX Runtime.",
    "check": "Count what annotated files hold and list what is wrong.",
    "convert": "Convert annotated text into another format.",
    "fetch": "Download a public corpus, or say how to come by a licensed one.",
    "presets": "List the presets, or print all settings of one.",
    "demo": "Train, score and extract on the sample corpus; write a page.",
}


class Verbs(TyperGroup):
    """The group of all verbs. Ctrl-C is one sentence: the verb's own, if it has one on how to go on."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from conjoin.cli.messages import stopped

            raise stopped("stopped") from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of a name, or None."""
        if cmd_name not in VERBS:
            return None
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(cmd_name)(getattr(import_module(f"conjoin.cli.{cmd_name}"), cmd_name))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of verbs, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
