"""The networks: that of SSSD-ECG (denoiser), the transformer of the built-in model, and one for detail at 500 Hz."""
