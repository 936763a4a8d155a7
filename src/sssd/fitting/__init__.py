"""What is fitted to a trained network while its weights stay: a solver for few evaluations, and the gain of each lead.

solver.py   a solver, the search for a better one, and where it is kept
trials.py   what a solver costs: its records compared with real ones
gains.py    factors that give generated records the amplitudes of real ones
"""
