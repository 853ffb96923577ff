"""What a workspace holds: its files, their bytes and their text."""
