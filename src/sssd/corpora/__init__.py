"""Corpora: sets of ECGs too large for memory, made in shards that can be lost, resumed and checked one by one.

plan (record i -> label vector) ─▶ making (batches by record number) ─▶ shard (a file) ─▶ manifest (one note per shard)

run.py starts, goes on and completes; the engine that makes shards is this process or, in cluster.py, Ray workers.
"""
