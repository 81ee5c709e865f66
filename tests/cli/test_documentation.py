"""Runs every command and every snippet of the pages in docs/, on a tiny model and a few sentences.

Each page is run from top to bottom in a folder of its own, with the files that its commands name (`FILES`).
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
from conjoin.config.settings import Config
from conjoin.document import Corpus, Document
from conjoin.features.featurisers import FEATURISERS
from conjoin.modeling.architectures import ARCHITECTURES
from conjoin.modeling.nn.pairs import SCORERS
from conjoin.readers import FORMATS, to_datasets, write_corpus, write_documents

HOME = Path(__file__).parents[2]
PAGES = sorted((HOME / "docs").glob("*.md"))
pytestmark = pytest.mark.filterwarnings("ignore")  # those of spaCy, datasets and others

# What cannot be run here, by its beginning, and why. Commands of conjoin are still parsed, Python is compiled.
NOT_RUN = {
    "ray start": "starts a cluster of machines",
    "RAY_ADDRESS=auto conjoin bulk": "needs such a cluster; tests/extras/test_ray.py runs the engine",
    "from conjoin.extras.spark import extract": "needs a Spark session and a bucket; tests/extras/test_spark.py runs it",
    "conjoin fetch": "needs the network; tests/corpora/test_public_corpora.py runs it",
    "pip install": "needs the network and changes what is installed; a test below checks the extras",
    "words → embedders": "is a drawing",
    "doc._.relations": "shows values; tests/readers/test_docbin.py reads and writes them",
}

SHOWN = re.compile(r"^```(\w*)\n(.*?)^```$|`((?:conjoin|pip) [^`]+)`", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:\w+=\S+ )*(?:conjoin|curl|torchrun|accelerate) ", re.MULTILINE)
PLACEHOLDER = re.compile(r"(?<!\S)(?!DATA\b)[A-Z]+(?!\S)|…")
TRAINING = ("train", "demo", "tune", "affinity", "experiment", "reproduce")
LIMITS = {"--workers": 1, "--trials": 1, "--folds": 2, "--max-folds": 2, "--seeds": 1, "--max-seeds": 1}
SHORT = ("training.epochs=1", "stack.size=8", "relations.size=16")
LONG = ("depth.md", "experiments.md", "export.md")  # these train several models or export one
TABLES: tuple[Any, ...] = (ARCHITECTURES, FEATURISERS, FORMATS, SCORERS)  # docs/extending.md adds to them


@dataclass(frozen=True, slots=True)
class Piece:
    """A command or a snippet of a page.

    `kind` is `command`, `synopsis` (inside a sentence: `conjoin check PATH`), the language of a block, or `drawing` for a
    block without language and command.
    """

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"docs/{self.page.name}:{self.line}: {self.text}"

    @property
    def arguments(self) -> list[str]:
        """The words after `conjoin`; none where it is not called."""
        words = shlex.split(self.text, comments=True)
        return words[words.index("conjoin") + 1 :] if "conjoin" in words else []

    @property
    def not_run(self) -> list[str]:
        return [beginning for beginning in NOT_RUN if self.text.startswith(beginning)]


def pieces(page: Path) -> Iterator[Piece]:
    """The commands and snippets of a page, in order."""
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


def write_folder(documents: Sequence[Document], path: Path) -> None:
    path.mkdir()
    for document in documents:
        (path / f"{document.id}.txt").write_text(f"{document.text}\n")


# The files that pages name, and the function that writes each.
FILES: dict[str, Callable[[Sequence[Document], Path], None]] = {
    "sample": write_splits, "corpus": write_splits, "conll04": write_splits, "articles": write_folder,
    "corpora": write_corpora, "DATA": write_corpora,
    **dict.fromkeys(("articles.jsonl", "dev.jsonl", "notes.jsonl", "sample.jsonl"), write_lines),
    **dict.fromkeys(("conll04_train.json", "conll04_dev.json"), write_spert),
    "ade.jsonl": write_many, "corrected.json": write_corrected, **dict.fromkeys(("notes.txt", "pool.txt"), write_texts),
    "elmo": write_elmo, "glove.6B.300d.txt": write_vectors, "ace_2005_td_v7/data/English": write_ace,
}


def make_files(page: Path, documents: Sequence[Document], folder: Path) -> None:
    """Write the files that a page names."""
    text = page.read_text("utf-8")
    for name, write in FILES.items():
        if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])", text):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(documents, folder / name)


# --- running -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reader:
    """Runs the commands and snippets of a page, long ones cut short (`shortened`).

    `run` is always a copy of `trained`, a model that has learned the documents by heart: a short training finds nothing.
    """

    conjoin: Callable[..., Any]
    encoder: str
    trained: Path
    documents: Sequence[Document]
    capsys: pytest.CaptureFixture[str]
    served: dict[str, Any] = field(default_factory=dict)  # arguments of the last call of uvicorn
    names: dict[str, Any] = field(default_factory=dict)  # global names of the page's Python

    def follow(self, piece: Piece) -> None:
        """Run a piece."""
        kinds = {"command": self.command, "synopsis": self.synopsis, "python": self.python, "json": self.json,
                 "toml": self.toml, "xml": self.xml}
        assert piece.kind in kinds, f"{piece}\nnothing here runs that; run it, or say in NOT_RUN why not"
        kinds[piece.kind](piece)

    def parse(self, piece: Piece) -> None:
        """Check the form of what is not run."""
        if piece.kind == "python":
            compile(piece.text, str(piece), "exec")
        elif piece.kind == "command" and piece.arguments:
            verb_of(piece).make_context(piece.arguments[0], piece.arguments[1:])

    def command(self, piece: Piece) -> None:
        program, *rest = shlex.split(piece.text, comments=True)
        programs = {"conjoin": self.call, "curl": self.curl, "torchrun": self.torchrun, "accelerate": self.accelerate}
        assert program in programs, f"{piece}\nnothing here runs {program}; run it, or say in NOT_RUN why not"
        programs[program](piece, rest)

    def call(self, piece: Piece, arguments: list[str]) -> None:
        """A command of conjoin: it succeeds and writes its output. Folders of earlier examples are removed first."""
        written = [Path(word) for option, word in pairwise(arguments) if option in ("--output", "--html")]
        for path in filter(Path.is_dir, written):
            shutil.rmtree(path)
        result = self.conjoin(*self.shortened(arguments))
        assert result.code == 0, f"{piece}\n{result.err}"
        assert all(map(Path.exists, written)), f"{piece}\nan output is missing"
        if arguments[0] == "train" and Path("run") in written:
            assert Path("run/model/weights.safetensors").is_file(), piece
            self.copy_trained()

    def copy_trained(self) -> None:
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(self.trained, "run")

    def shortened(self, arguments: list[str]) -> list[str]:
        """The same command with the tiny encoder, a short training, one process, few folds, seeds and trials, one row."""
        verb = arguments[0]
        shorter = [
            str(min(int(word), LIMITS[option])) if option in LIMITS else self.encoder if option == "--encoder" else word
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
        """Run once, in this process, what a launcher would start several times."""
        assert parsed.module and parsed.training_script == "conjoin", piece
        self.call(piece, parsed.training_script_args)

    def curl(self, piece: Piece, words: list[str]) -> None:
        """Send the request to the app of the last `conjoin serve`; the answer must hold relations."""
        parser = argparse.ArgumentParser()
        parser.add_argument("-s", action="store_true")
        parser.add_argument("-H", action="append")
        parser.add_argument("-d")
        parser.add_argument("url")
        request = parser.parse_args(words)
        address, _, path = request.url.partition("/")
        assert self.served and (self.served["host"], address) == ("127.0.0.1", f"localhost:{self.served['port']}"), piece
        headers = dict(header.split(": ", 1) for header in request.H or ())

        async def answer() -> httpx.Response:
            service = self.served["app"]
            transport = httpx.ASGITransport(service)
            async with service.router.lifespan_context(service), httpx.AsyncClient(transport=transport) as client:
                return await client.post(f"http://{address}/{path}", content=request.d, headers=headers)

        response = asyncio.run(answer())
        assert response.status_code == 200, f"{piece}\n{response.text}"
        assert response.json()["documents"][0]["relations"], piece

    def synopsis(self, piece: Piece) -> None:
        """The command and its options exist."""
        known = {name for parameter in verb_of(piece).params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in piece.arguments if word.startswith("-")} <= known, piece

    def python(self, piece: Piece) -> None:
        """Snippets of a page share their names; one that prints must print something."""
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("conjoin.config.presets.load_config", self.load_short)
            exec(compile(piece.text, f"docs/{piece.page.name}, line {piece.line}", "exec"), self.names)
        assert "print(" not in piece.text or self.capsys.readouterr().out.strip(), piece

    def load_short(self, preset: str, overrides: Sequence[str] = ()) -> Config:
        """As `load_config`, with the tiny encoder and one epoch unless the page sets an encoder itself."""
        own = any(override.startswith("encoder.name=") for override in overrides)
        return load_config(preset, [*overrides] if own else [*overrides, f"encoder.name='{self.encoder}'", *SHORT])

    def toml(self, piece: Piece) -> None:
        """A settings file."""
        Path("shown.toml").write_text(piece.text)
        load_config("shown.toml")

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
            results = task["predictions"][0]["result"]
            names = {(result["from_name"], result["to_name"]) for result in results if result["type"] == "labels"}
            assert names == {(labels.get("name"), labels.get("toName"))} == {("label", text.get("name"))}, piece
            assert text.get("value", "").removeprefix("$") in task["data"], piece


def verb_of(piece: Piece) -> Any:
    command = typer.main.get_command(app).get_command(None, piece.arguments[0])  # type: ignore[attr-defined]
    assert command is not None, f"{piece}\nthere is no verb {piece.arguments[0]}"
    return command


class OneProcess:
    """A stand-in for `ProcessPool` that works in this process."""

    def __init__(self, prepare: Callable[[int], Callable[[Any, Callable[[object], None]], Any]], **_: object) -> None:
        self.prepare = prepare

    def __enter__(self) -> OneProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        work = self.prepare(0)
        for item in items:
            yield work(item, lambda place: None)


@pytest.fixture
def tables() -> Iterator[None]:
    """Takes out of the tables what a page adds to them."""
    copies = [dict(table) for table in TABLES]
    yield
    for table, copy in zip(TABLES, copies, strict=True):
        for name in table.keys() - copy.keys():
            del table[name]


@pytest.fixture
def reader(
    conjoin: Any, encoder: str, documents: list[Document], trained_run: Path, tmp_path: Path, tables: None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Reader:
    """A reader in a folder with a trained `run`; services do not listen, bulk jobs start no process."""
    monkeypatch.chdir(tmp_path)
    reader = Reader(conjoin, encoder, trained_run, documents, capsys)
    reader.copy_trained()
    monkeypatch.setattr("conjoin.bulk.job.ProcessPool", OneProcess)
    monkeypatch.setattr("uvicorn.run", lambda app, **options: reader.served.update(options, app=app))
    return reader


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.name, marks=[pytest.mark.long] * (page.name in LONG)) for page in PAGES]
)
def test_a_page(page: Path, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(page, reader.documents, tmp_path)
    if "load_dataset(" in page.read_text("utf-8"):
        three = Corpus({"train": tuple(reader.documents), "dev": tuple(reader.documents)})
        monkeypatch.setattr("datasets.load_dataset", lambda name: to_datasets(three))
    for piece in pieces(page):
        if piece.not_run:
            reader.parse(piece)
        else:
            reader.follow(piece)


def test_everything_in_not_run_is_on_a_page() -> None:
    left = {beginning for page in PAGES for piece in pieces(page) for beginning in piece.not_run}
    assert left == set(NOT_RUN)


def test_no_command_stands_outside_of_a_block() -> None:
    """A command indented by four blanks would look like a block and not be run."""
    for page in PAGES:
        assert not re.search(r"^ {4,}(?:\$ )?(?:conjoin|pip|python) ", page.read_text("utf-8"), re.MULTILINE), page.name


def test_extras_and_scripts_that_pages_name_exist() -> None:
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in [*PAGES, HOME / "README.md", HOME / "benchmarks/README.md"]:
        text = page.read_text("utf-8")
        for names in re.findall(r"(?:\bconjoin|['\"]\.)\[([\w,]+)\]", text):
            assert set(names.split(",")) <= set(extras), (page.name, names)
        for script in re.findall(r"python (benchmarks/\S+\.py)", text):
            assert (HOME / script).is_file(), (page.name, script)


def test_no_line_of_code_is_cut_off() -> None:
    """The pages show about so many characters of a line of code."""
    for page in [HOME / "README.md", *PAGES]:
        lines = "".join(body for _, body, _ in SHOWN.findall(page.read_text("utf-8"))).splitlines()
        too_long = [line for line in lines if len(line) > 82 and page.name != "experiments.md"]
        assert not too_long, page.name


def test_no_table_has_a_backslash() -> None:
    for page in PAGES:
        assert not re.search(r"^\|.*\\", page.read_text("utf-8"), re.MULTILINE), page.name


def test_every_page_is_in_the_navigation() -> None:
    pages = set(re.findall(r"[\w-]+\.md$", (HOME / "mkdocs.yml").read_text(), re.MULTILINE))
    assert pages == {page.name for page in PAGES}


def test_commands_and_result_files_of_benchmarks_exist() -> None:
    page = HOME / "benchmarks/README.md"
    rows = [line.split(" | ") for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    for row in rows:
        for file in re.findall(r"`((?:quality|speed)/[^`]+)`", row[-1]):
            assert (page.parent / file).is_file(), file
        for command in re.findall(r"`conjoin ([^`]+ [^`]+)`", row[1]):
            words = shlex.split(command)
            verb_of(Piece(page, 0, "synopsis", f"conjoin {command}")).make_context(words[0], words[1:])
