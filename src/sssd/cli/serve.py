"""`sssd-ecg serve`: run the HTTP service and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import UsageError, say, usage

EXAMPLES = """Examples:

sssd-ecg serve --port 8000

sssd-ecg serve --checkpoint model.safetensors --settings server.json

sssd-ecg serve --new-key
"""


def command(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. An address that other machines can reach needs an API key."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, up to 65535; 0 chooses a free port.")] = 8000,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file with limits and API keys; see docs/operations.md.")
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Print a new API key and its hash, then exit.")
    ] = False,
    allow_anyone: Annotated[
        bool,
        typer.Option(
            "--allow-anyone-without-a-key",
            help="Let other machines, and names other than localhost, use the service without an API key.",
        ),
    ] = False,
    checkpoint: options.Checkpoint = None,
    config: options.Configuration = None,
    cauchy: options.Convention = None,
    device: options.Device = None,
) -> None:
    """Serve ECGs over HTTP: a web page at /, the interface at /v1, and its description at /docs."""
    try:
        from ..server import app as application
        from ..server import serve
        from ..server.security import digest
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
        say(f"key: {key}", f'settings: {{"key_sha256": ["{digest(key)}"]}}')
        return
    if not 0 <= port <= 65535:
        raise UsageError(f"--port is {port}; expected 0 to 65535")
    with usage():
        options.check(None, config, checkpoint)
        limits = read_settings(settings)
        serve.check_host(host, limits, allow_anyone)
    bound = serve.listen(host, port)
    from ..server.generator import load_generator

    with usage():
        generator = load_generator(
            checkpoint, config=config, cauchy=cauchy, device=device, precision=limits.precision
        )
    here = serve.only_here(host, limits, allow_anyone)
    app = application.create_app(generator, limits, only_here=here)
    address = serve.url(bound)
    say(f"{address}  (description of the interface: {address}/docs; stop with Ctrl-C)")
    serve.serve(app, limits, bound)
