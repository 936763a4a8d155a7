"""Configurations: the published network (config_SSSD_ECG.json), the transformer (default.json), their schema."""
