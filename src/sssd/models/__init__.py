"""The network of SSSD-ECG: its parameters, their effective weights, the function, and the module (denoiser)."""
