"""Images turned into feature vectors, by a deploy net or as the colour histograms it is compared with."""
