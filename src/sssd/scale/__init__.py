"""Corpora: sets of ECGs too large for memory, made in shards that can be lost, resumed and checked one by one.

plan (record i -> label vector) ─▶ run (batches by record number) ─▶ shards (files) ─▶ manifest (one note per shard)
"""
