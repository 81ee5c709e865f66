"""The Ray engine writes the same bytes as the local one; run in a separate process, since Ray does not clean up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import doubles
from conjoin.bulk.job import Job, local_engine, run

pytest.importorskip("ray")
pytestmark = pytest.mark.ray
HERE = Path(__file__).parents[1]
SCRIPT = """
import sys
from pathlib import Path
import ray
import doubles
from conjoin.text.sources import Source
from conjoin.bulk.job import Job, run
from conjoin.errors import DataError
from conjoin.extras.ray import engine
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
source, model, folder = map(Path, sys.argv[1:])
job = Job((source,), model, folder, keep_text=True, partition_size=7, load=doubles.load)
print([event.number for event in run(job, engine(2)) if hasattr(event, "number")])
try:
    list(engine(1)(job, [Source("gone.txt", folder / "gone.txt")]))
except DataError as error:
    print(error)
"""


def test_the_same_bytes_as_the_local_engine(tmp_path: Path) -> None:
    source, model = tmp_path / "in.jsonl", tmp_path / "model"
    texts = ["word é \ud83d " * (number % 9) for number in range(60)]
    texts[10], texts[30] = "raise", "die"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    model.mkdir()
    for name in ("config.json", "schema.json"):
        (model / name).write_text("{}")
    job = Job((source,), model, tmp_path / "local", keep_text=True, partition_size=7, load=doubles.load)
    list(run(job, local_engine()))
    folder = tmp_path / "ray"
    folder.mkdir()
    for name in ("manifest.json", "part-00000001.jsonl"):  # of a stopped run
        value = (job.folder / name).read_text()
        if name.startswith("manifest"):
            value = json.dumps({key: field for key, field in json.loads(value).items()
                                if key not in ("finished", "partitions", "documents")})
        (folder / name).write_text(value)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
                   "RAY_USAGE_STATS_ENABLED": "0"}
    result = subprocess.run([sys.executable, "-c", SCRIPT, source, model, folder], env=environment, cwd=tmp_path,
                         capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    lines = result.stdout.splitlines()  # some are Ray's
    assert str(list(range(9))) in lines
    assert any(line.startswith(f"{folder / 'gone.txt'}: ") for line in lines)
    ray_files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}
    local_files = {path.name: path.read_bytes() for path in job.folder.iterdir() if path.name != "lock"}
    assert ray_files == local_files
