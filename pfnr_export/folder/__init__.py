"""A folder of exported sessions and its manifest: written, continued and verified."""
