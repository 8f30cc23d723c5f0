"""What this machine has for playing videos, and a test decode on every engine."""
