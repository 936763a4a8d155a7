"""Files of ECGs: WFDB, NPZ, CSV, and folders of them; every write is complete or leaves nothing.

One module per form, each with `write`; `wfdb` and `npz` also with `read`. `folder.save_set` writes a set.
"""
