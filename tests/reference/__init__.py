"""Samplers written as in the papers, float64, to test against. Nothing here imports the package."""
