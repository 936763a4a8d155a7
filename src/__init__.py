"""Source root: makes `from src.sssd...` work from the repository root, beside the installed `sssd`."""
