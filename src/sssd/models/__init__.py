"""The network of SSSD-ECG: S4 layers (s4), their residual stack (denoiser), the embedding of the step (embeddings)."""
