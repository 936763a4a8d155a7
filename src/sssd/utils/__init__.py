"""The functions that users of SSSD-ECG import."""
