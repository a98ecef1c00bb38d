"""Weights pre-trained on ImageNet: where they come from and how each origin becomes a caffemodel (the files are git-ignored)."""
