"""Console commands of the runtime, one file each."""
