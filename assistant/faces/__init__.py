"""The faces: one wire format, one file, all over the one gateway."""
