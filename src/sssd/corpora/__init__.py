"""Corpora: sets of ECGs too large for memory, made in shards that can be lost, resumed and checked one by one.

    plan.py          which labels and which patient record i has
    recipe.py        which model and which sampling settings make the records
    generation.py    batches by record number, written to a shard while the next batch is generated
    shard.py         one shard while it is written; formats/ holds the file formats
    manifest.py      corpus.json and requests.npz: what the corpus is, with spare copies
    notes.py         one small file for each finished shard
    schema.py        the contents of these JSON files, validated
    run.py           create and resume; shards are made in this process or by Ray workers (cluster.py, workers.py)
    conversion.py    another format or shard size, several corpora as one
    verify.py        every missing, truncated, altered or foreign file

sssd/corpus.py reads a finished corpus as a PyTorch dataset.
"""
