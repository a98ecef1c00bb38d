"""The nets of the paper, written through NetSpec: backbones, heads, the nets made of them, their solver."""
