"""Models at the Hugging Face Hub: "org/name" or "hf://org/name@revision" as a file in the cache of huggingface_hub.

Nothing is fetched unless a model of the Hub is asked for by its name. What is in the cache is read without a
connection, and `HF_HUB_OFFLINE=1` or `local_files_only` keeps it so.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .checks import errors_only, needed_for

FILE = "model.safetensors"  # of a model in a folder or at the Hub; it holds the configuration as well
CONFIG, CARD = "config.json", "README.md"  # beside it, for readers and for the Hub
_PART = r"[A-Za-z0-9][\w.-]*"
_FILES = (".safetensors", ".pkl", ".pt")  # texts that end so are paths
_NAME = re.compile(rf"({_PART}/{_PART})", re.ASCII)
_ADDRESS = re.compile(
    rf"hf:/{{1,2}}({_PART}/{_PART})(?:@([\w./-]+))?", re.ASCII
)  # pathlib takes "//" for "/"


def as_address(name: str | os.PathLike[str]) -> tuple[str, str | None] | None:
    """Return the model and the revision of "hf://org/name@revision"; None for anything else."""
    match = _ADDRESS.fullmatch(Path(name).as_posix())
    return (match[1], match[2]) if match else None


def as_name(name: str | os.PathLike[str] | None) -> tuple[str, str | None] | None:
    """Return the model and the revision of an address or of a text "org/name" that is no file or folder here.

    A `Path` is a path, unless it is an address.
    """
    if name is None:
        return None
    if not isinstance(name, str) or as_address(name):
        return as_address(name)
    bare = _NAME.fullmatch(name)
    if bare is None or os.path.exists(name) or name.endswith(_FILES):
        return None
    return bare[1], None


def fetch(model: str, *, revision: str | None = None, **how: Any) -> Path:
    """Return the file of a model of the Hub in the local cache, which it is downloaded into if it is not there.

    revision: a branch, a tag or a commit. how: cache_dir, local_files_only and token of `hf_hub_download`.
    FileNotFoundError if there is no such model or revision; PermissionError if it must be asked for at the Hub; OSError
    without a connection, where the cache lacks it; ModuleNotFoundError without huggingface_hub.
    """
    with needed_for(f"there is no file or folder {model!r} here, and a model of the Hub needs", "hub"):
        import huggingface_hub
        from huggingface_hub import errors
    at = "" if revision is None else f" at revision {revision!r}"
    try:
        # Warnings are about requests that are tried again; what fails in the end is raised.
        with errors_only("huggingface_hub"):
            file = huggingface_hub.hf_hub_download(
                model, FILE, revision=revision, endpoint=_endpoint(), **how
            )
        return Path(file)
    except errors.GatedRepoError:
        raise PermissionError(
            f"{model!r} is open only to those who ask for it at the Hub: ask there, then log in with `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise FileNotFoundError(f"the model {model!r} of the Hub has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"there is no file or folder {model!r} here, and no model of this name at the Hub that you may read "
            "(`hf auth login` shows your own)"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise OSError(
            f"{model!r}{at} is not in the local cache, and the Hub cannot be reached: connect, or give the path of a "
            "file or folder"
        ) from None
    except errors.EntryNotFoundError:
        raise FileNotFoundError(
            f"{model!r}{at} at the Hub holds no {FILE}: it is no model of sssd-ecg"
        ) from None
    except errors.HFValidationError as error:
        raise ValueError(f"{model!r} is no name of a model at the Hub: {error}") from None
    except Exception as error:  # of the connection, by whichever library it is made
        raise OSError(f"{model!r}{at} could not be fetched from the Hub: {_first_line(error)}") from error


def upload(folder: Path, model: str, *, revision: str | None, private: bool | None, token: str | None) -> str:
    """Put the files of a folder into a model of the Hub, which is made if it is not there; return the commit's address.

    OSError if the Hub refuses or cannot be reached.
    """
    with needed_for("the Hub needs", "hub"):
        import huggingface_hub
        from huggingface_hub import errors
    api = huggingface_hub.HfApi(endpoint=_endpoint(), token=token)
    try:
        api.create_repo(model, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(model, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=model, folder_path=folder, revision=revision, commit_message="Upload with sssd-ecg"
        )
    except errors.HFValidationError as error:
        raise ValueError(f"{model!r} is no name of a model at the Hub: {error}") from None
    except errors.LocalTokenNotFoundError:
        raise PermissionError(
            "you are not logged in at the Hub: run `hf auth login`, or give token="
        ) from None
    except Exception as error:  # of the connection, by whichever library it is made
        raise OSError(f"{model!r} could not be written to the Hub: {_first_line(error)}") from error
    return str(done.commit_url)


def _endpoint() -> str | None:
    """Return the address of another Hub than the public one, if the environment names one."""
    return os.environ.get("HF_ENDPOINT")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
