"""Models on a model hub: download by name, and upload. `HF_ENDPOINT` names another hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from conjoin.artifacts.model_folder import MODEL_FILES, model_folder, short_message
from conjoin.errors import ModelError

# Of requests or of httpx, as the version has it; a lost connection is one too.
CLIENT_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
# The files of a model folder: nothing else is downloaded, whatever a repository may have beside them.
PATTERNS = ("*.json", "*.safetensors", "*.onnx", "*.txt", "*.md", "*.svg", "*.model")


def download_model(name: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model: `name` itself where it is a folder, else the hub's repository `owner/name` in its cache.
    Raises `ModelError` if neither is there, or the repository is no conjoin model."""
    if Path(name).exists():
        return model_folder(Path(name))
    with _hub_errors(f"cannot fetch the model '{name}'", "give a folder, or owner/name of a model on the hub"):
        folder = Path(snapshot_download(name, revision=revision, token=token, allow_patterns=list(PATTERNS),
                                        endpoint=_endpoint()))
    if not all((folder / file).is_file() for file in MODEL_FILES):
        raise ModelError(f"'{name}' on the hub is no conjoin model (no config.json and schema.json); see that the name is "
                         "right")
    return folder


def upload_model(
    folder: Path, name: str, *, private: bool | None = None, token: str | None = None, message: str
) -> str:
    """Put a model folder into the hub's repository `owner/name`, as `Extractor.push_to_hub`; the address of the commit."""
    hub = HfApi(endpoint=_endpoint(), token=token)
    remedy = "see that the name is owner/name, and that the token (token=, HF_TOKEN or hf auth login) may write there"
    with _hub_errors(f"cannot put the model on the hub as '{name}'", remedy):
        hub.create_repo(name, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message).commit_url)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def _hub_errors(failure: str, remedy: str) -> Iterator[None]:
    """Turn errors of the hub's client into one sentence."""
    try:
        yield
    except (OSError, ValueError, CLIENT_ERROR) as error:
        raise ModelError(f"{failure}: {short_message(error)}; {remedy}") from error
