"""Measures that compare generated ECGs with real ones: amplitude, rhythm, what a classifier sees, memorisation.

Every measure takes plain arrays of n records: `x` (n, 8, L) float32 in millivolts, leads I, V1..V6, aVF, and
`labels` (n, K) of zeros and ones. `evaluate.evaluate` runs them all on one set, `measure.measure` those of the model
card on several; `quality` sums up a sampler. scikit-learn, of the `eval` extra, is imported by `detectability` alone.
"""
