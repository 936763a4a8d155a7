"""What is measured on the signal of one record: beats, heart rate, QRS width (`beats`), waves of a lead (`waves`).

`rules` says which values are expected with which statement.

The service and the page show these beside a record, and the evaluation compares their distributions. All of that is in
NumPy (`filters`), so that it also runs in a browser. Two modules need PyTorch: `delineator`, which is a network, and
`rates`, which changes the sampling rate by the filter of `sssd.scale`.
"""
