"""Images turned into feature vectors: the trained trunk, and the colour histogram it is compared with."""
