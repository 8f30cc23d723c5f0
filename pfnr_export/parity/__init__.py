"""Proof that an exported file decodes what PyTorch decodes: every frame, compared sample by sample."""
