"""Console commands of the exporter, one file each."""
