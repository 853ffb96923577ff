"""Index jobs: asked for, leased, paced, parked, swept and reconciled."""
