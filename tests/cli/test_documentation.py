"""What the pages of docs/ show is run as it stands: every command and every snippet, on a tiny model and a few sentences.

A page is run from top to bottom in a folder of its own, in which the files are made that its commands name (`MADE`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import typer.main

from conjoin.cli import app
from conjoin.config.presets import load_config
from conjoin.document import Corpus, Document
from conjoin.readers import to_datasets, write_corpus, write_documents

HOME = Path(__file__).parents[2]
PAGES = sorted((HOME / "docs").glob("*.md"))
pytestmark = pytest.mark.filterwarnings("ignore")  # those of spaCy, datasets and others

# What cannot be run here, by its beginning, and why. A command of conjoin's is parsed at least, Python compiled.
NOT_RUN = {
    "ray start": "starts a cluster of machines",
    "RAY_ADDRESS=auto conjoin bulk": "needs such a cluster; tests/extras/test_ray.py runs the engine",
    "from conjoin.extras.spark import extract": "needs a Spark session and a bucket; tests/extras/test_spark.py runs it",
    "conjoin fetch conll04": "needs the network; tests/test_corpora.py runs it",
    "pip install": "needs the network and changes what is installed; that the extras exist is looked at below",
    "encoder ∘ elmo": "is a drawing",
    "doc._.relations": "shows values; tests/readers/test_docbin.py reads and writes them",
}

SHOWN = re.compile(r"^```(\w*)\n(.*?)^```$|`((?:conjoin|pip) [^`]+)`", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:\w+=\S+ )*(?:conjoin|curl|torchrun|accelerate) ", re.MULTILINE)
PLACEHOLDER = re.compile(r"(?<!\S)(?!DATA\b)[A-Z]+(?!\S)|…")
TRAINING = ("train", "demo", "tune", "affinity", "experiment", "reproduce")
MOST = {"--workers": 1, "--trials": 1, "--folds": 2, "--max-folds": 2, "--seeds": 1, "--max-seeds": 1}
SHORT = ("training.epochs=1", "stack.size=8", "relations.size=16")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that a page shows: a `command`, a `synopsis` inside a sentence (`conjoin check PATH`), or a whole block,
    whose `kind` is its language, `drawing` where it has none and holds no command."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"docs/{self.page.name}:{self.line}: {self.text}"

    @property
    def arguments(self) -> list[str]:
        """What follows `conjoin`; nothing where that is not called."""
        words = shlex.split(self.text, comments=True)
        return words[words.index("conjoin") + 1 :] if "conjoin" in words else []

    @property
    def not_run(self) -> list[str]:
        return [beginning for beginning in NOT_RUN if self.text.startswith(beginning)]


def pieces(page: Path) -> Iterator[Piece]:
    """All that a page shows, in its order."""
    text = page.read_text("utf-8")
    for match in SHOWN.finditer(text):
        language, body, inside = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if inside is not None:
            vague = PLACEHOLDER.search(inside) or len(inside.split()) == 2
            yield Piece(page, line, "synopsis" if vague else "command", " ".join(inside.split()))
        elif language not in ("", "bash"):
            yield Piece(page, line, language, body)
        elif language == "" and not COMMAND.search(body):
            yield Piece(page, line, "drawing", body)
        else:
            for command in filter(None, map(str.strip, body.replace("\\\n", " ").splitlines())):
                yield Piece(page, line, "command", command)


# --- the files that commands name --------------------------------------------------------------------------------------


def write_splits(documents: Sequence[Document], path: Path, format: str = "jsonl") -> None:
    write_corpus(Corpus(dict.fromkeys(("train", "dev", "test"), tuple(documents))), path, format)


def write_texts(documents: Sequence[Document], path: Path) -> None:
    path.write_text("".join(f"{document.text}\n" for document in documents))


def write_corrected(documents: Sequence[Document], path: Path) -> None:
    """Label Studio's tasks as they are exported: annotations in place of predictions."""
    write_documents(documents, path, "labelstudio", lenient=True)
    tasks = json.loads(path.read_text())
    path.write_text(json.dumps([{**task, "annotations": task["predictions"], "predictions": []} for task in tasks]))


def write_corpora(documents: Sequence[Document], path: Path) -> None:
    write_splits(documents, path / "conll04/spert_json", "spert")
    (path / "ade").mkdir()
    shutil.copy(HOME / "tests/data/giorgi/sample.tsv", path / "ade/joint-ner-and-re.train.tsv")


def write_vectors(documents: Sequence[Document], path: Path) -> None:
    words = sorted({word for document in documents for word in document.words})
    path.write_text("".join(f"{word} 0.1 -0.2 0.{len(word)}\n" for word in words))


def write_elmo(documents: Sequence[Document], path: Path) -> None:
    from elmo_files import OPTIONS, write_weights

    path.mkdir()
    (path / "options.json").write_text(json.dumps(OPTIONS))
    write_weights(path / "weights.hdf5")


def write_ace(documents: Sequence[Document], path: Path) -> None:
    """The documents that the published splits of ACE 2005 list, with an invented sentence each."""
    path.mkdir(parents=True)
    mention = '<charseq START="2" END="4">Cid</charseq>'
    for split in ("train", "dev", "test"):
        listed = resources.files("conjoin") / f"readers/formats/splits_ace/ace05-{split}.txt"
        for name in listed.read_text().split():
            (path / f"{name}.sgm").write_text("<DOC>\n<TEXT>\nCid leads the mill.\n</TEXT>\n</DOC>\n")
            (path / f"{name}.apf.xml").write_text(
                f'<source_file URI="{name}.sgm"><document DOCID="{name}"><entity ID="{name}-E1" TYPE="PER">'
                f'<entity_mention ID="{name}-E1-1" TYPE="NAM"><extent>{mention}</extent><head>{mention}</head>'
                "</entity_mention></entity></document></source_file>\n"
            )


def write_many(documents: Sequence[Document], path: Path) -> None:
    """Enough of them for folds with a part for dev."""
    many = [{**document.to_json(), "id": f"{document.id}-{n}"} for n in range(4) for document in documents]
    path.write_text("".join(json.dumps(value) + "\n" for value in many))


def write_spert(documents: Sequence[Document], path: Path) -> None:
    write_documents(documents, path, "spert")


def write_lines(documents: Sequence[Document], path: Path) -> None:
    write_documents(documents, path, "jsonl")


# What commands name → what writes it.
MADE: dict[str, Callable[[Sequence[Document], Path], None]] = {
    "src/conjoin/corpora/sample": write_splits, "corpus": write_splits, "conll04": write_splits,
    "corpora": write_corpora, "DATA": write_corpora,
    **dict.fromkeys(("articles.jsonl", "dev.jsonl", "notes.jsonl", "sample.jsonl"), write_lines),
    **dict.fromkeys(("conll04_train.json", "conll04_dev.json"), write_spert),
    "ade.jsonl": write_many, "corrected.json": write_corrected, "pool.txt": write_texts,
    "elmo": write_elmo, "glove.6B.300d.txt": write_vectors, "ace_2005_td_v7/data/English": write_ace,
}


def make_files(page: Path, documents: Sequence[Document], folder: Path) -> None:
    """Write into a folder what the commands of a page that are run name."""
    named = {
        word.rpartition("=")[2] for piece in pieces(page) if piece.kind == "command" and not piece.not_run
        for word in piece.arguments
    }
    for name, write in MADE.items():
        if any(word == name or word.startswith(f"{name}/") for word in named):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(documents, folder / name)


# --- running -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reader:
    """Someone who types what a page shows. What would take long is cut short: see `shortened`.

    A short training finds nothing, so `run` is `trained`, which has learnt the documents by heart, after each training too.
    """

    conjoin: Callable[..., Any]
    encoder: str
    trained: Path
    documents: Sequence[Document]
    capsys: pytest.CaptureFixture[str]
    served: dict[str, Any] = field(default_factory=dict)  # what uvicorn was last asked to serve
    names: dict[str, Any] = field(default_factory=dict)  # of the page's Python

    def follow(self, piece: Piece) -> None:
        """Run a piece."""
        kinds = {"command": self.command, "synopsis": self.synopsis, "python": self.python, "json": self.json,
                 "xml": self.xml}
        assert piece.kind in kinds, f"{piece}\nnothing here runs that; run it, or say in NOT_RUN why it cannot be"
        kinds[piece.kind](piece)

    def leave(self, piece: Piece) -> None:
        """Look at least at the form of what is not run."""
        if piece.kind == "python":
            compile(piece.text, str(piece), "exec")
        elif piece.kind == "command" and piece.arguments:
            verb_of(piece).make_context(piece.arguments[0], piece.arguments[1:])

    def command(self, piece: Piece) -> None:
        program, *rest = shlex.split(piece.text, comments=True)
        programs = {"conjoin": self.call, "curl": self.curl, "torchrun": self.torchrun, "accelerate": self.accelerate}
        assert program in programs, f"{piece}\nnothing here runs {program}; run it, or say in NOT_RUN why it cannot be"
        programs[program](piece, rest)

    def call(self, piece: Piece, arguments: list[str]) -> None:
        """conjoin itself: it ends well, and what was to be written is there. Examples that write to one place are apart."""
        written = [Path(word) for option, word in pairwise(arguments) if option in ("--output", "--html")]
        for path in filter(Path.is_dir, written):
            shutil.rmtree(path)
        done = self.conjoin(*self.shortened(arguments))
        assert done.code == 0, f"{piece}\n{done.err}"
        assert all(map(Path.exists, written)), f"{piece}\nwrote not all of it"
        if arguments[0] == "train" and Path("run") in written:
            assert Path("run/model/weights.safetensors").is_file(), piece
            self.take_the_trained()

    def take_the_trained(self) -> None:
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(self.trained, "run")

    def shortened(self, arguments: list[str]) -> list[str]:
        """The command with the tiny encoder and a short training, one process, few folds, seeds and trials, one row."""
        verb = arguments[0]
        shorter = [
            str(min(int(word), MOST[option])) if option in MOST else self.encoder if option == "--encoder" else word
            for option, word in pairwise(["", *arguments])
        ]
        if verb not in TRAINING or "--models" in arguments:
            return shorter
        preset = arguments[1] if verb not in ("demo", "reproduce") else "conjoin-base"
        own = load_config(preset).encoder.name is not None and "--encoder" not in arguments
        settings = [*SHORT, f"encoder.name='{self.encoder}'"] if own else SHORT
        row = ["--row", "full"] if verb == "reproduce" else []
        return [*shorter, *row, *(part for value in settings for part in ("--set", value))]

    def torchrun(self, piece: Piece, words: list[str]) -> None:
        from torch.distributed.run import get_args_parser

        self.launched(piece, get_args_parser().parse_args(words))

    def accelerate(self, piece: Piece, words: list[str]) -> None:
        from accelerate.commands.launch import launch_command_parser

        assert words[0] == "launch", piece
        self.launched(piece, launch_command_parser().parse_args(words[1:]))

    def launched(self, piece: Piece, parsed: argparse.Namespace) -> None:
        """What a launcher would start several times is run once, here."""
        assert parsed.module and parsed.training_script == "conjoin", piece
        self.call(piece, parsed.training_script_args)

    def curl(self, piece: Piece, words: list[str]) -> None:
        """The request that curl would send, to what `conjoin serve` serves; something is found in its text."""
        parser = argparse.ArgumentParser()
        parser.add_argument("-s", action="store_true")
        parser.add_argument("-H", action="append")
        parser.add_argument("-d")
        parser.add_argument("url")
        asked = parser.parse_args(words)
        address, _, path = asked.url.partition("/")
        assert self.served and (self.served["host"], address) == ("127.0.0.1", f"localhost:{self.served['port']}"), piece
        headers = dict(header.split(": ", 1) for header in asked.H or ())

        async def answer() -> httpx.Response:
            service = self.served["app"]
            transport = httpx.ASGITransport(service)
            async with service.router.lifespan_context(service), httpx.AsyncClient(transport=transport) as client:
                return await client.post(f"http://{address}/{path}", content=asked.d, headers=headers)

        told = asyncio.run(answer())
        assert told.status_code == 200, f"{piece}\n{told.text}"
        assert told.json()["documents"][0]["relations"], piece

    def synopsis(self, piece: Piece) -> None:
        """There is such a verb, with such options."""
        known = {name for parameter in verb_of(piece).params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in piece.arguments if word.startswith("-")} <= known, piece

    def python(self, piece: Piece) -> None:
        """A page's snippets share their names; what they print is something."""
        self.capsys.readouterr()
        exec(compile(piece.text, f"docs/{piece.page.name}, line {piece.line}", "exec"), self.names)
        assert "print(" not in piece.text or self.capsys.readouterr().out.strip(), piece

    def json(self, piece: Piece) -> None:
        """A line of a corpus."""
        Path("shown.jsonl").write_text(json.dumps(json.loads(piece.text)) + "\n")
        self.call(piece, ["check", "shown.jsonl"])

    def xml(self, piece: Piece) -> None:
        """A labelling configuration of Label Studio, with the names of the tasks that conjoin writes."""
        view = ElementTree.fromstring(piece.text)
        labels, text = view.find("Labels"), view.find("Text")
        assert labels is not None and text is not None, piece
        write_documents(self.documents, "shown.json", "labelstudio", lenient=True)
        for task in json.loads(Path("shown.json").read_text()):
            found = task["predictions"][0]["result"]
            names = {(one["from_name"], one["to_name"]) for one in found if one["type"] == "labels"}
            assert names == {(labels.get("name"), labels.get("toName"))} == {("label", text.get("name"))}, piece
            assert text.get("value", "").removeprefix("$") in task["data"], piece


def verb_of(piece: Piece) -> Any:
    command = typer.main.get_command(app).get_command(None, piece.arguments[0])  # type: ignore[attr-defined]
    assert command is not None, f"{piece}\nthere is no verb {piece.arguments[0]}"
    return command


class Here:
    """In place of `ProcessPool`: works in this process."""

    def __init__(self, prepare: Callable[[int], Callable[[Any, Callable[[object], None]], Any]], **_: object) -> None:
        self.prepare = prepare

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        work = self.prepare(0)
        for item in items:
            yield work(item, lambda place: None)


@pytest.fixture
def reader(
    conjoin: Any, encoder: str, documents: list[Document], trained_run: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Reader:
    """A reader in a folder with a trained `run`, whose services do not listen and whose bulk jobs start no process."""
    monkeypatch.chdir(tmp_path)
    reader = Reader(conjoin, encoder, trained_run, documents, capsys)
    reader.take_the_trained()
    monkeypatch.setattr("conjoin.bulk.job.ProcessPool", Here)
    monkeypatch.setattr("uvicorn.run", lambda app, **options: reader.served.update(options, app=app))
    return reader


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_a_page(page: Path, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(page, reader.documents, tmp_path)
    if "load_dataset(" in page.read_text("utf-8"):
        three = Corpus({"train": tuple(reader.documents), "dev": tuple(reader.documents)})
        monkeypatch.setattr("datasets.load_dataset", lambda name: to_datasets(three))
    for piece in pieces(page):
        if piece.not_run:
            reader.leave(piece)
        else:
            reader.follow(piece)


def test_what_is_not_run_is_still_shown() -> None:
    left = {beginning for page in PAGES for piece in pieces(page) for beginning in piece.not_run}
    assert left == set(NOT_RUN)


def test_no_command_stands_outside_of_a_block() -> None:
    """Indented by four blanks it would look like one, and not be run."""
    for page in PAGES:
        assert not re.search(r"^ {4,}(?:\$ )?(?:conjoin|pip|python) ", page.read_text("utf-8"), re.MULTILINE), page.name


def test_extras_and_scripts_that_pages_name_are_there() -> None:
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        text = page.read_text("utf-8")
        for named in re.findall(r"(?:\bconjoin|['\"]\.)\[([\w,]+)\]", text):
            assert set(named.split(",")) <= set(extras), (page.name, named)
        for script in re.findall(r"python (benchmarks/\S+\.py)", text):
            assert (HOME / script).is_file(), (page.name, script)
