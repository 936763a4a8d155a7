"""What is fitted to a trained network while its weights stay: a solver of few evaluations.

solver.py   a solver, the search for a better one, and where it is kept
trials.py   what a solver costs: its records compared with real ones
"""
