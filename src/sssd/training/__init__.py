"""Training and fine-tuning: batches (what goes in), loss (what is asked), step and loop (the run and its log)."""
