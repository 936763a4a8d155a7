"""Real recordings: the set of ECGs a model is trained on and measured against, and how it is prepared."""
