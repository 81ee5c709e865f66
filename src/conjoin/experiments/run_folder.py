"""The folder of a training run: checkpoints while it runs, its model when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conjoin.artifacts.model_folder import MODEL_FILES
from conjoin.errors import ModelError
from conjoin.extractor import Extractor
from conjoin.storage.atomic import check_replaceable, folder_to_fill
from conjoin.training.distributed import Processes, one_for_all

MODEL = "model"
CHECKPOINTS, RETRAIN_CHECKPOINTS = "checkpoints", "checkpoints-retrain"


@contextmanager
def run_folder(folder: Path | None, overwrite: bool, processes: Processes) -> Iterator[None]:
    """Make the folder for a block; `overwrite` removes checkpoints, so that training starts anew.

    A finished model stays until the new one is saved, and a run that fails before it has written anything leaves no
    folder. A model beside checkpoints is what a killed run with `overwrite` leaves: that run may go on.

    Raises:
        ModelError: The folder holds a finished model and `overwrite` is not set, or its `model` is something else.
    """
    if folder is None:
        yield
        return
    with folder_to_fill(folder):
        check_replaceable(folder / MODEL, MODEL_FILES)
        checkpoints = [folder / name for name in (CHECKPOINTS, RETRAIN_CHECKPOINTS) if (folder / name).exists()]
        if overwrite:
            for checkpoint in checkpoints if processes.main else ():
                shutil.rmtree(checkpoint)
        elif (folder / MODEL).exists() and not checkpoints:
            raise ModelError(f"{folder}: holds a finished model; give another --output (output=), or replace it with "
                             "--overwrite (overwrite=True)")
        yield


def save_run(extractor: Extractor, folder: Path | None, processes: Processes) -> None:
    """Save the model of a run and remove the checkpoints; the first process writes and the others wait for it."""
    if folder is not None and processes.main:
        extractor.save(folder / MODEL)
        for name in (CHECKPOINTS, RETRAIN_CHECKPOINTS):
            shutil.rmtree(folder / name, ignore_errors=True)
    with one_for_all(processes):
        processes.wait()
