"""The trunks, image in, feature out: one file per base network, each with a function `trunk(n, pairs)`."""
