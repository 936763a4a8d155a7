"""The denoiser made fast for inference: what does not depend on x is computed once (bound)."""
