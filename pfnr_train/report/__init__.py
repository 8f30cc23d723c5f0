"""Reports on a library or a comparison: a self-contained HTML page, CSV and JSON."""
