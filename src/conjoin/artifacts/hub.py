"""Trained models on a model hub: fetched by name, and put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from conjoin.artifacts.model_folder import MODEL_FILES, first_line, model_folder
from conjoin.errors import ModelError

# Of requests or of httpx, as the version has it; a lost connection is one too.
CLIENT_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
# What a model folder holds: nothing else is fetched, whatever a repository may have beside it.
PATTERNS = ("*.json", "*.safetensors", "*.onnx", "*.txt", "*.md", "*.svg", "*.model")


def fetched(name: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model: `name` itself where that is a folder, else a copy of the repository of that name on the hub
    (`HF_ENDPOINT` names another hub), kept in its cache. Raises `ModelError`."""
    if Path(name).exists():
        return model_folder(Path(name))
    with _told(f"cannot fetch the model '{name}'", "give a folder, or owner/name of a model on the hub"):
        folder = Path(snapshot_download(name, revision=revision, token=token, allow_patterns=list(PATTERNS),
                                        endpoint=_endpoint()))
    if not all((folder / file).is_file() for file in MODEL_FILES):
        raise ModelError(f"'{name}' on the hub is no conjoin model (no config.json and schema.json); see that the name is "
                         "right")
    return folder


def pushed(folder: Path, name: str, *, private: bool | None = None, token: str | None = None, message: str) -> str:
    """Put a model folder into a repository of the hub, which is made when it is not there; the address of the commit.

    Raises `ModelError`.
    """
    hub = HfApi(endpoint=_endpoint(), token=token)
    with _told(f"cannot put the model on the hub as '{name}'", "see that the name is owner/name, and that the token "
               "(token=, HF_TOKEN or hf auth login) may write there"):
        hub.create_repo(name, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message).commit_url)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def _told(failure: str, remedy: str) -> Iterator[None]:
    """What the hub's client raises, in one sentence."""
    try:
        yield
    except (OSError, ValueError, CLIENT_ERROR) as error:
        raise ModelError(f"{failure}: {first_line(error)}; {remedy}") from error
