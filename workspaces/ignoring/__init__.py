"""What of a repository is left out, by whose rule, and how its owner reads of it."""
