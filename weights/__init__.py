"""Weights pre-trained on ImageNet: where they come from, and how they become caffemodels in files/ (not committed)."""
