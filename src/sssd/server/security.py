"""API keys: clients send them as `Authorization: Bearer KEY`; the settings hold their SHA-256 hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

BEARER = HTTPBearer(auto_error=False, description="An API key, as `sssd-ecg serve --new-key` prints it")


def digest(key: str) -> str:
    """Return the SHA-256 hash of an API key. Keys are 256 random bits, so a slower hash would protect nothing more."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def is_known(key: str, digests: Sequence[str]) -> bool:
    """Return whether the key has one of these hashes. The time this takes depends on none of them."""
    found = digest(key)
    matches = [hmac.compare_digest(found, known) for known in digests]
    return any(matches)


def key_required(digests: Sequence[str]) -> Callable[..., Awaitable[None]]:
    """Return a FastAPI dependency that answers 401 unless the request carries a key with one of these hashes."""

    async def require_key(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> None:
        if credentials is None or not is_known(credentials.credentials, digests):
            raise HTTPException(
                401,
                "an API key is needed: send it as 'Authorization: Bearer KEY'",
                {"WWW-Authenticate": "Bearer"},
            )
        request.state.owner = digest(credentials.credentials)

    return require_key


def client_of(request: Request) -> str:
    """Return whom the queue is fair to: the owner of the key, or where no key is required the client's address."""
    return owner_of(request) or (request.client.host if request.client else "")


def owner_of(request: Request) -> str:
    """Return the hash of the key that the request carried, or "" where no key is required."""
    return getattr(request.state, "owner", "")
