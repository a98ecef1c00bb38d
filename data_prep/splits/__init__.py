"""Which identities train and which are tested: committed split files, and splits drawn from a seed."""
