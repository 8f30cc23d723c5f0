"""The shared graph: one network for a whole library, masks as inputs, and a sidecar for each session."""
