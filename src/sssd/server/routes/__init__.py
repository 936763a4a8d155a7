"""The routes, one router for each subject. `sssd.server.app` decides which of them need an API key."""

from .catalogue import catalogue
from .changes import changes
from .ecgs import generation
from .jobs import JobStore, jobs
from .operation import health, metrics

__all__ = ["JobStore", "catalogue", "changes", "generation", "health", "jobs", "metrics"]
