"""Rewrites the tables of docs/speed.md from the result files beside this script.

    python benchmarks/speed/table.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(page: str) -> str:
    """The page with its tables as the result files have them."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        result = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
        before, rest = page.split(begin)
        page = before + begin + table(result) + end + rest.split(end)[1]
    return page


def table_of(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def extraction(result: dict[str, Any]) -> str:
    rows = (
        (name, row["texts_per_second"], f"{row['times_the_bare_encoder']:.2f}", f"{row['times_as_fast_as_pipeline']:.2f}",
         " / ".join(f"{score:.1f}" for score in row.get("strict_micro_f1", ())), row["peak_memory_mb"])
        for name, row in result["systems"].items()
    )
    return table_of(("", "texts per second", "time, bare encoder = 1", "times as fast as the pipeline",
                     "strict F1, entities / relations", "peak memory, MB"), rows)


def training(result: dict[str, Any]) -> str:
    row = result["training"]
    cells = f"{row['conjoin_seconds']} s", f"{row['encoder_seconds']} s", row["ratio"], result["peak_memory_mb"]
    return table_of(("an epoch", "bare encoder", "ratio", "peak memory, MB"), [cells])


def processes(result: dict[str, Any]) -> str:
    cold = table_of(("cold start", "seconds"), result["cold start, seconds"].items())
    workers = table_of(("", *next(iter(result["workers"].values()))),
                       ((name, *row.values()) for name, row in result["workers"].items()))
    return f"{cold}\n{workers}"


def growth(result: dict[str, Any]) -> str:
    tables = []
    for kind, what in (("length", "words of one sentence"), ("entities", "entities of one sentence"),
                       ("documents", "short documents, streamed")):
        rows = ((row["size"], row["seconds"], row.get("encoder_seconds", ""), row["peak_memory_mb"])
                for row in result[kind]["rows"])
        told = f"Exponent from {result[kind]['exponent_from']:,} on: {result[kind]['exponent']}."
        tables.append(table_of((what, "seconds", "bare encoder, seconds", "peak memory, MB"), rows) + f"\n{told}\n")
    return "\n".join(tables)


def service(result: dict[str, Any]) -> str:
    rows = ((clients, row["requests"], row["per_second"], row["p50_ms"], row["p95_ms"], row["p99_ms"])
            for clients, row in result["clients"].items())
    table = table_of(("clients at once", "requests", "a second", "half within, ms", "95 % within, ms", "99 % within, ms"),
                     rows)
    memory = ", ".join(f"{megabytes} MB {when}" for when, megabytes in result["memory_mb"].items())
    return (f"{table}\nMemory of the service: {memory}. `Extractor.pipe` over the same texts, in the same run: "
            f"{result['pipe, texts per second']} a second.\n")


def busy(result: dict[str, Any]) -> str:
    rows = ((count, *seconds.values()) for count, seconds in result["seconds"].items())
    return table_of(("busy processes beside it", *(f"{way}, s" for way in result["seconds"]["0"])), rows)


def gpu(result: dict[str, Any]) -> str:
    models = result["models"]
    names = {"training_seconds": "seconds of a training epoch", "training_ratio": "that, its encoder alone = 1",
             "annotated_sentences_per_second": "annotated words, sentences a second",
             "peak_memory_mb": "peak memory of the GPU, MB"}
    rows = [(told, *(row[key] for row in models.values())) for key, told in names.items()]
    raw = {name: row["raw_text_sentences_per_second"] for name, row in models.items()}
    rows += [(f"raw text, {way}, sentences a second", *(row.get(way, "") for row in raw.values()))
             for way in next(iter(raw.values()))]
    rows += [(f"Hugging Face pipeline, batches of {size}, sentences a second", *(rate for _ in models))
             for size, rate in result["pipeline_sentences_per_second"].items()]
    return table_of((f"{result['gpu']}, {result['cores']} cores", *models), rows)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "extraction": extraction, "training": training, "processes": processes, "growth": growth, "service": service,
    "busy": busy, "gpu": gpu,
}


if __name__ == "__main__":
    main()
