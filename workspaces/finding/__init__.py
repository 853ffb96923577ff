"""Which lines answer a question: words and meaning, ranked, and shown."""
