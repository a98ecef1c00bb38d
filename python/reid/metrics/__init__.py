"""From features to figures: distances, average precision, the protocols of Market-1501 and single-shot."""
