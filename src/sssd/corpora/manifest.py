"""corpus.json and requests.npz: what a corpus is, written once when it begins and never changed.

corpus.json          the recipe, labels, leads and shards (schema.py)
requests.npz         the plan: which labels record i has (plan.py); absent where corpora were merged
spare/               copies of both
shards/00000.json    one note for each finished shard (notes.py)
data/00000.parquet   the shards

A shard counts once its note is there, and the note is written after the shard is in place. A run that is killed at any
moment leaves at most files without a note, which are made again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

from ..io.files import write_bytes
from . import plan as plans
from .block import PLANNED
from .files import DATA, SHARDS, SPARE, check_folders, has_hash, inside
from .schema import Corpus, Recipe, parse_corpus

FILE, REQUESTS = "corpus.json", "requests.npz"


def checked(corpus: Corpus, requests: bytes | None) -> bytes:
    """Return the contents of corpus.json; ValueError where the corpus could not be read back. See `begin`."""
    content = _content(corpus)
    right = requests is None or hashlib.sha256(requests).hexdigest() == corpus.parts[0].requests
    if not right or parse_corpus(content) != corpus:
        raise ValueError("the description of this corpus could not be read back")
    return content


def begin(folder: Path, corpus: Corpus, requests: bytes | None) -> None:
    """Write what the corpus is into `folder`, which exists; corpus.json comes last and makes the folder a corpus.

    requests: the contents of requests.npz, None for a merged corpus
    ValueError, before anything is written, where the corpus could not be read back.
    """
    content = checked(corpus, requests)
    check_folders(folder)
    for name in (SPARE, SHARDS, DATA):
        (folder / name).mkdir(exist_ok=True)
    for place in (folder / SPARE, folder):
        if requests is not None:
            write_bytes(place / REQUESTS, requests, overwrite=True)
        write_bytes(place / FILE, content, overwrite=True)


def read(folder: Path) -> Corpus:
    """Return what the corpus in `folder` is, from the spare copy where corpus.json is damaged.

    FileNotFoundError if there is no corpus; ValueError if both copies are damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    problems = []
    for name in (FILE, f"{SPARE}/{FILE}"):
        try:
            return parse_corpus(inside(folder, name).read_bytes())
        except FileNotFoundError:
            continue
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ValueError(
            f"{str(folder)!r}: the description of the corpus cannot be read ({'; '.join(problems)}): put {FILE} back "
            "from a backup, or begin again with the same options, which make the same records"
        )
    raise FileNotFoundError(f"{str(folder)!r} holds no corpus: expected {FILE} in it")


def damaged(folder: Path) -> list[str]:
    """Return which copies of corpus.json and requests.npz are missing or damaged; at least one corpus.json is whole."""
    corpus, bad = read(folder), []
    for place in ("", f"{SPARE}/"):
        try:
            whole = parse_corpus(inside(folder, f"{place}{FILE}").read_bytes()) == corpus
        except (OSError, ValueError):
            whole = False
        if not whole:
            bad.append(f"{place}{FILE}")
        if len(corpus.parts) == 1 and not _requests_whole(folder, f"{place}{REQUESTS}", corpus.parts[0]):
            bad.append(f"{place}{REQUESTS}")
    return bad


def restore(folder: Path) -> list[str]:
    """Put damaged files back from their copies; returns which. ValueError if both copies are damaged."""
    bad = damaged(folder)
    copies = {
        name: name.removeprefix(f"{SPARE}/") if name.startswith(SPARE) else f"{SPARE}/{name}" for name in bad
    }
    for name, copy in copies.items():
        if copy in bad:
            raise ValueError(
                f"{str(folder)!r}: {name} and {copy} are both missing or altered: put one back from a backup, or "
                "begin again with the same options, which make the same records"
            )
    check_folders(folder)
    for name, copy in copies.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_bytes(folder / name, inside(folder, copy).read_bytes(), overwrite=True)
    return bad


def read_requests(folder: Path, corpus: Corpus) -> bytes:
    """Return the contents of requests.npz, which a merged corpus lacks. ValueError if both copies are damaged."""
    for name in (REQUESTS, f"{SPARE}/{REQUESTS}"):
        if _requests_whole(folder, name, corpus.parts[0]):
            return inside(folder, name).read_bytes()
    raise ValueError(f"{str(folder)!r}: {REQUESTS} and its copy in {SPARE} are both missing or altered")


def read_plan(folder: Path, corpus: Corpus) -> plans.Plan:
    """Return the plan of a corpus that was not merged. ValueError if it is damaged, or that of another corpus."""
    plan = plans.from_bytes(read_requests(folder, corpus), corpus.label_names, corpus.records)
    if plan.extra != tuple(name for name in corpus.extra if name in PLANNED):
        raise ValueError(
            f"{str(folder)!r}: {REQUESTS} and {FILE} differ on age, sex or heart rate, or on recordings"
        )
    return plan


def repair_command(folder: Path, corpus: Corpus) -> str:
    """Return the command that makes what is missing. It also checks a merged corpus, but others only with --check."""
    if len(corpus.parts) > 1:
        return "the same `sssd-ecg corpus merge` again"
    command, recipe = f"sssd-ecg corpus resume {shlex.quote(str(folder))}", corpus.parts[0]
    if recipe.recordings is not None:
        command += f" --vary {shlex.quote(recipe.recordings)}"
    return command if recipe.shipped else f"{command} --checkpoint {shlex.quote(recipe.checkpoint)}"


def _content(corpus: Corpus) -> bytes:
    content = {**corpus.to_json(), "digest": corpus.digest}
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _requests_whole(folder: Path, name: str, recipe: Recipe) -> bool:
    try:
        return has_hash(inside(folder, name), recipe.requests)
    except ValueError:
        return False
