"""`sssd-ecg serve`: the HTTP service and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import UsageError, say, usage

EXAMPLES = (
    "Examples: sssd-ecg serve --port 8000 | sssd-ecg serve --checkpoint model.safetensors --settings server.json | "
    "sssd-ecg serve --new-key"
)


def command(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond localhost an API key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8000,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file of limits and keys; see docs/server.md.")
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Print a new API key and its hash, and end.")
    ] = False,
    allow_anyone: Annotated[
        bool,
        typer.Option(
            "--allow-anyone-without-a-key", help="Listen beyond localhost although no API key is set."
        ),
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A .pkl or .safetensors; default: built-in.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration of --checkpoint.")] = None,
    cauchy: Annotated[
        Literal["conjugate_pairs", "half_spectrum"] | None,
        typer.Option(help="Of a published checkpoint; see `inspect`."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: the best there is.")
    ] = None,
) -> None:
    """Serve ECGs over HTTP: a page at /, the interface at /v1, its description at /docs."""
    try:
        from ..server import app as application
        from ..server import guard, serve
        from ..server.settings import read_settings
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("sssd"):
            raise
        raise UsageError(
            f"serving needs {error.name}, which is not installed: pip install 'sssd-ecg[server]'"
        ) from None
    if new_key:
        import secrets

        key = secrets.token_urlsafe(32)
        say(f"key: {key}", f'settings: {{"key_sha256": ["{guard.digest(key)}"]}}')
        return
    with usage():
        limits = read_settings(settings)
        serve.check_host(host, limits, allow_anyone)
    bound = serve.listen(host, port)
    from ..server.generator import Generator, apart
    from .generate import load_model

    with usage():
        model = apart(load_model, checkpoint, config, cauchy, device)
    name = "built-in" if checkpoint is None else checkpoint.stem
    app = application.create_app(Generator(model, name, limits.precision), limits)
    address = serve.url(bound)
    say(f"{address}  (interface: {address}/docs, Ctrl-C to stop)")
    serve.serve(app, limits, bound)
