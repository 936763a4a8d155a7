"""The service: HTTP in, batches through the model, ECGs out. FastAPI and uvicorn, of the `server` extra.

    request (schemas) -> Work (work) -> Batcher (batching) -> model (generator) -> Ecg -> bytes (encode)

`app` has the routes, `guard` what stands before them (keys, limits, measures), `jobs` what takes longer than a request,
`serve` the process, `cluster` the same application on a Ray cluster.
"""
