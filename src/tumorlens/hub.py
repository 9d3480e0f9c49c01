"""Weights on the Hugging Face hub, or a mirror of it: fetched once, then kept on this machine."""

from __future__ import annotations

from pathlib import Path

from tumorlens.errors import ModelError, needs_extra

SCHEME = "hf://"
"""Begins the names of weights on the hub, as in hf://OWNER/NAME and hf://OWNER/NAME@REVISION."""

WEIGHTS = "model.safetensors"
"""What the hub calls the file of the weights; card and graph lie beside it as model.json and model.onnx."""

_FILES = ["model.safetensors", "model.json", "model.onnx", "README.md"]


def fetch(name: str) -> Path:
    """Fetches weights from the hub, unless they are on this machine. HF_ENDPOINT names another hub.

    Args:
        name: hf://OWNER/NAME, perhaps with @REVISION: a branch, tag or commit.

    Returns:
        The folder that holds them.

    Raises:
        ModelError: If there are none, or they cannot be fetched.
        MissingExtra: If huggingface_hub is not installed.
    """
    with needs_extra("weights from a model hub", "hub"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.removeprefix(SCHEME).partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=_FILES))
    except HFValidationError as error:
        raise ModelError(f"{name}: is no name of weights on a hub; write hf://OWNER/NAME") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{name}: cannot be fetched ({said[0][:200]}); check name and connection") from error
