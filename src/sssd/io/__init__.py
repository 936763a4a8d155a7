"""ECGs as files: one module per format (wfdb, challenge, npz, csv_table, edf, dicom, figure), one record
(save), a folder of them (folder).

Each format has a `write`, and wfdb and npz also a `read`. Every write is complete or leaves nothing behind (files).
"""
