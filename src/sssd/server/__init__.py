"""The HTTP service. It needs FastAPI and uvicorn, which the `server` extra installs.

    request (asked) -> Work (work) -> Batcher (batching) -> model (generator) -> Ecg -> bytes (encode)

`app` puts the application together: `routes`, API keys (`security`), `middleware` and error answers (`errors`). `jobs`
keeps sets that are too large for one request. `serve` runs the application in one process, `cluster` on a Ray cluster.
"""
