"""The backbones, one file each: layers from image to feature, facts and defaults; see `registry`."""
