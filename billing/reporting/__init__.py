"""What was used, added up: for users, for staff, and for a tier that is drafted."""
