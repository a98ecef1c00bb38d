"""The nets of the paper, written through NetSpec: trunks, heads, the nets made of them, and their solver."""
