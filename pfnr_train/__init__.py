"""The trainer: clips become sessions of one library."""
