"""Which tier somebody has, what of it is theirs alone, and what they hold of it."""
