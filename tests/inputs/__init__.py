"""What comes from outside: every row of docs/inputs.md is run here."""
