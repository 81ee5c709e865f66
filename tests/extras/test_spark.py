"""Spark gives the same rows as the local engine; run in a separate process, since Spark starts a virtual machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import doubles
from conjoin.bulk.job import Job, local_engine, run

pytest.importorskip("pyspark")
pytestmark = pytest.mark.spark
if shutil.which("java") is None:
    pytest.skip("no Java", allow_module_level=True)
HERE = Path(__file__).parents[1]
SCRIPT = """
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
import doubles
from conjoin.bulk.rows import RowFormat, write_rows
from conjoin.errors import SettingError
from conjoin.extras.spark import extract

source, folder = map(Path, sys.argv[1:])
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
rows = [(value["id"], value["text"]) for value in map(json.loads, source.open())]
# slices of seven rows, as the partitions of the job are
frame = spark.createDataFrame(spark.sparkContext.parallelize(rows, len(rows) // 7), "key string, body string")
extraction = extract(frame, "body", "unused", id_column="key", keep_text=True, load=doubles.load)
results = [row.asDict(recursive=True) for row in extraction.collect()]
folder.mkdir()
for start in range(0, len(results), 7):
    path = folder / f"part-{start // 7:08d}.jsonl"
    write_rows(results[start : start + 7], path, RowFormat.jsonl, keep_text=True)
print([row.doc_id for row in extract(frame.limit(2).coalesce(1), "body", "unused", load=doubles.load).collect()])
for column in ("text", "key"):
    try:
        extract(frame.withColumn("key", frame["key"].cast("int")), column, "unused")
    except SettingError as error:
        print(error)
"""


def test_the_same_bytes_as_the_local_engine(tmp_path: Path) -> None:
    source, model = tmp_path / "in.jsonl", tmp_path / "model"
    texts: list[str | None] = ["word é " * (number % 9) for number in range(42)]
    texts[10], texts[30], texts[33] = "raise", "die", None
    source.write_text("".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    model.mkdir()
    for name in ("config.json", "schema.json"):
        (model / name).write_text("{}")
    job = Job((source,), model, tmp_path / "local", keep_text=True, partition_size=7, load=doubles.load)
    list(run(job, local_engine()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
                   "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    result = subprocess.run([sys.executable, "-c", SCRIPT, source, tmp_path / "spark"], env=environment, cwd=tmp_path,
                         capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    spark_files = {path.name: path.read_text().replace("'body'", "'text'") for path in (tmp_path / "spark").iterdir()}
    local_files = {path.name: path.read_text() for path in job.folder.glob("part-*")}
    assert spark_files == local_files
    ids, unknown, wrong = result.stdout.splitlines()[-3:]
    assert ids == "['0:0', '0:1']"
    assert unknown.startswith("unknown column 'text'")
    assert wrong.startswith("the column 'key' is of type int")
