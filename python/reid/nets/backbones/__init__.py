"""The backbones, one file each: the trunk, image in, feature out, its facts and defaults; see `registry`."""
