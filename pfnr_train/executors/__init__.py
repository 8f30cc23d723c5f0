"""Where independent work runs: processes of this machine, or a Ray cluster. One file each."""
