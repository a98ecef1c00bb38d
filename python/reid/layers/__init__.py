"""Caffe layers written in Python: the squared difference of two features, and the feed of image pairs."""
