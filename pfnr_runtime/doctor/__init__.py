"""What this machine has for playing videos, and a decode on every engine that proves it."""
