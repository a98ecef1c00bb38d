"""Rankings turned into figures: distances, average precision, Market-1501's and the single-shot protocols."""
