"""Measures of generated ECGs against real ones: amplitude, rhythm, what a classifier sees, memorisation.

Every measure takes plain arrays of n records: `x` (n, 8, L) float32 in millivolts, leads I, V1..V6, aVF, and
`labels` (n, K) of zeros and ones; `measure.measure` runs them all. scikit-learn and NeuroKit2, of the `eval`
extra, are imported by the functions that need them.
"""
