"""Libraries of format 3: sessions one after another in one file, each found without reading the others.

base ─▶ entry of session 0, its lookup nodes, its footer ─▶ entry of session 1, … ─▶ the last footer ends the file

The base and every entry are whole safetensors files. Adding a session appends; nothing that is there changes. A
session is complete once its footer is on the disk, so a kill at any instant leaves the old library or the new one.
"""
