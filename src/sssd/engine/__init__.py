"""The denoiser made fast: `bound.bind` computes everything that does not depend on x once; the rest is its means."""
