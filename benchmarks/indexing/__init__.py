"""How quickly a workspace is indexed, on PostgreSQL, Redis and Qdrant's engine."""
