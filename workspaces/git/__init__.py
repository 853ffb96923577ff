"""Import from git hosts: the wire (`wire`), packs (`pack`), and whose turn it is."""
