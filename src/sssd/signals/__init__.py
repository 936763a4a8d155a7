"""What is measured on the signal of one record: beats, heart rate, QRS width (`beats`), waves of a lead (`waves`).

`rules` says which values are expected with which statement.

The service shows these beside a record and the evaluation compares their distributions. `beats` needs SciPy alone;
`waves` needs NeuroKit2, which the extras `eval` and `server` bring.
"""
