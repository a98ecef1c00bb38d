"""From a raw person re-identification dataset to the LMDB databases that the siamese net is trained from."""
