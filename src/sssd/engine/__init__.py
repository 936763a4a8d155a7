"""Fast evaluation of a network: `bound.bind` computes what does not depend on x once; the other modules serve it."""
