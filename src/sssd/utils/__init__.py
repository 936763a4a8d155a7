"""Names that users of SSSD-ECG already import."""
