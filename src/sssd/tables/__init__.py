"""Tables that users give: CSV files of requests (`--labels-from`) and of recordings (`prepare --labels`).

cells.py reads a file into rows of text, columns.py says what each column is, values.py what each cell means, and
requests.py and sssd.data.tables put these together.
"""
