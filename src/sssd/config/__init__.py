"""Configurations: the published network (config_SSSD_ECG.json), the model that ships (default.json), their schema."""
