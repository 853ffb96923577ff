"""Pages over a full database: 1,000,000 usage records, 100,000 users, on PostgreSQL."""
