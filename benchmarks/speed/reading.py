"""How long the 4,272 sentences of ADE take to read in every format that can hold them, and what `conjoin check` needs for
100,000 sentences.

    python benchmarks/speed/reading.py --data DATA --output benchmarks/speed/reading.json

CPU seconds of one process; `over_json` is the ratio to parsing the same documents with json.loads alone, in the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from conjoin import __version__
from conjoin.errors import ConjoinError
from conjoin.readers import FORMATS, read_corpus, read_documents, write_documents

SENTENCES = 100_000
# A process inherits the peak of the one that starts it in its resource usage, but not in /proc.
WATCHED = """import sys
from pathlib import Path
from conjoin.cli import app
app(["check", sys.argv[1]], standalone_mode=False)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    source = arguments.data / "ade" / "DRUG-AE.rel"
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "conjoin": __version__, "python": platform.python_version(), "machine": platform.machine(),
            "reading": reading(source, Path(folder)),
            "check": checking(source, Path(folder)),
        }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def reading(source: Path, folder: Path) -> list[dict[str, object]]:
    documents, _ = read_documents(source, options={"overlap": "keep-longer"})
    documents = tuple(replace(document, id=f"d{number}") for number, document in enumerate(documents))
    lines = [document.to_json_line() for document in documents]
    start = time.process_time()
    for line in lines:
        json.loads(line)
    parsing = time.process_time() - start
    rows: list[dict[str, object]] = [timed("ade", source, parsing)]
    for name, format in FORMATS.items():
        if not format.writable or name == "ade":
            continue
        target = folder / f"corpus{'' if format.write_folder else format.endings[0]}"
        try:
            write_documents(documents, target, name, lenient=True)
        except ConjoinError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        rows.append(timed(name, target, parsing))
        target.rename(folder / f"{name}-done")
    return rows


def timed(name: str, path: Path, parsing: float) -> dict[str, object]:
    start = time.process_time()
    found = read_corpus(path, name, lenient=True)
    seconds = time.process_time() - start
    return {"format": name, "documents": len(found), "cpu_seconds": round(seconds, 2),
            "over_json": round(seconds / parsing, 1)}


def checking(source: Path, folder: Path) -> dict[str, object]:
    documents, _ = read_documents(source, options={"overlap": "keep-longer"})
    many = (replace(documents[number % len(documents)], id=str(number)) for number in range(SENTENCES))
    target = folder / "many.jsonl"
    write_documents(many, target, "jsonl")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", WATCHED, str(target)], check=True, stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"sentences": SENTENCES, "megabytes_of_file": round(target.stat().st_size / 1e6),
            "cpu_seconds": round(after.ru_utime - before.ru_utime, 1), "peak_megabytes": round(int(done.stderr) / 1000)}


if __name__ == "__main__":
    main()
