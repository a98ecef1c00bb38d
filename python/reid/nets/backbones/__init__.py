"""The backbones, one file each: the trunk, image in, feature out, with its facts and defaults; by name in `registry`."""
