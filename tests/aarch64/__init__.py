"""The runtime on aarch64 without a device: a Debian root under qemu, and what is checked in it."""
