"""What a person may do with all of theirs: fetch a copy of it, or have it erased."""
