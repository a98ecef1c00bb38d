"""Rankings turned into figures: distances, and the protocol of the single-shot sets."""
