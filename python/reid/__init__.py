"""The library: nets, layers, training, features, metrics and reports of the siamese re-identification net."""
