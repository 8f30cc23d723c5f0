"""Reports of what a library or a comparison holds: one HTML page that needs nothing else, CSV and JSON."""
