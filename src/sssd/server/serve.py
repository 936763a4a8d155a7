"""The server process: uvicorn, which finishes running requests on SIGTERM and drops clients that are too slow."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..checks import counted
from .gate import Gate
from .middleware import is_local
from .settings import Settings

OPEN = "--allow-anyone-without-a-key"
HEAD_S = 10.0  # how long a client may take to send the head of a request
ANSWER_S = 300.0  # how long a client may take to read its answer
BACKLOG = 2048
LAST_STEP_S = 5.0  # how long a step that still runs may take in the end
SWITCH_S = 0.0005  # how long a thread may keep Python's lock while others wait for it
NOT_SENT = 16384  # how many bytes of an answer the kernel holds beside those that are on their way


def check_host(host: str, settings: Settings, allow_anyone: bool) -> None:
    """Raise ValueError if other machines could use the service without an API key."""
    if settings.key_sha256 or allow_anyone or is_local(host):
        return
    raise ValueError(
        f"other machines can reach host {host!r}, and there is no API key: make one with --new-key and put its "
        f"hash into --settings, or give {OPEN}"
    )


def only_here(host: str, settings: Settings, allow_anyone: bool) -> bool:
    """Return whether only this machine's own programs can reach the service, and no key is needed."""
    return is_local(host) and not settings.key_sha256 and not allow_anyone


class TimedH11Protocol(H11Protocol):
    """HTTP/1.1 that drops clients which send the head of a request, or read its answer, too slowly."""

    _timers: dict[str, asyncio.TimerHandle]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timers = {}
        self._time_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("answer", ANSWER_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("answer")

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def _time_head(self) -> None:
        """Give the client HEAD_S for a whole head, counted from its first byte or from the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop("head")
        elif "head" not in self._timers:
            self._start("head", HEAD_S)

    def _start(self, name: str, seconds: float) -> None:
        self._stop(name)
        self._timers[name] = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


class Server(uvicorn.Server):
    """uvicorn that stops in two stages.

    After the first signal it refuses new work, finishes running requests and lets clients fetch the results of jobs.
    After the second one it gives up what runs and answers that it has. It waits for nothing after a third one.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            http=TimedH11Protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._gate: Gate = app.state.gate
        self._gate.connections = self.server_state.connections
        self._app, self._drain_s = app, settings.drain_s
        self._stop_at: float | None = None
        self.interrupted = False  # whether a second signal has come

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._stop_at is None:
            self._gate.draining = True
            self._stop_at = time.monotonic() + self._drain_s
            if waits := self._waits_for():
                print(
                    f"stopping, at the latest in {self._drain_s:g} s: {waits}. A second Ctrl-C ends it now.",
                    file=sys.stderr,
                    flush=True,
                )
        else:
            # uvicorn's own handler would raise the signal again in the end, in the middle of what asyncio still does
            self._end()
            self.force_exit, self.interrupted = self.interrupted, True

    def _waits_for(self) -> str:
        """Return in words what the service waits for before it ends; empty if for nothing."""
        counts = getattr(self._app.state.jobs, "counts", {})  # a cluster's jobs are not this process's
        going, unfetched = counts.get("waiting", 0) + counts.get("running", 0), counts.get("unfetched", 0)
        waits = [f"{counted(going, 'job')} not done"] if going else []
        if unfetched:
            waits.append(f"{counted(unfetched, 'job')} done, whose records nobody has fetched or deleted")
        if not self._app.state.backend.batcher.idle and not going:
            waits.append("running requests")
        return ", ".join(waits)

    def _end(self) -> None:
        """Give up what runs, so that nothing is waited for."""
        self._app.state.backend.batcher.abandon()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._stop_at is not None:
            if time.monotonic() > self._stop_at:
                self._end()
            self.should_exit = self.should_exit or not self._waits_for()
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what waits here has become old when a slow line takes it
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise OSError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another port with --port"
        ) from None
    return bound


def serve(app: FastAPI, settings: Settings, bound: socket.socket) -> None:
    """Serve on a listening socket until a signal stops the process; KeyboardInterrupt if a second one ends it.

    Threads that compute take Python's lock for a moment between two operations. With Python's default of 5 ms they wait
    so long each time while another thread makes an answer.
    """
    sys.setswitchinterval(SWITCH_S)
    server = Server(app, settings)
    server.run(sockets=[bound])
    if server.interrupted:
        app.state.backend.batcher.wait(LAST_STEP_S)  # Python must not end while a thread computes
        raise KeyboardInterrupt


def url(bound: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port, *_ = bound.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
