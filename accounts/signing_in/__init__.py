"""Who somebody is: by password and second factor, provider, session or token."""
