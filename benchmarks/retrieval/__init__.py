"""How well search finds the right lines, on real repositories; see `__main__`."""
