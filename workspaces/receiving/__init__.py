"""How code comes in: sync, single files and archives."""
