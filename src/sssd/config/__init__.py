"""Configurations: the published network (config_SSSD_ECG.json), the built-in model (default.json), their schema."""
