"""The main job on real input, from two clips to a picture: `make demo`."""
