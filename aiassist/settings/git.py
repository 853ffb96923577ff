"""Importing code from git hosts, and the key that seals what is kept for it."""

from aiassist import env

# Seals secrets that must be read again (git tokens); empty: derived from SECRET_KEY.
DATA_KEY = env.text("DATA_KEY") and env.secret("DATA_KEY")
# Opens what was sealed before DATA_KEY changed; empty: none.
DATA_KEY_PREVIOUS = env.text("DATA_KEY_PREVIOUS")
# `host:port` of code hosts in the operator's own network; others must be public.
GIT_IMPORT_ALLOWED_HOSTS = [
    host.lower() for host in env.words("GIT_IMPORT_ALLOWED_HOSTS")
]
# The certificate of their authority, as PEM; empty: the usual authorities alone.
GIT_IMPORT_CA_FILE = env.text("GIT_IMPORT_CA_FILE")
# One import may take so long, and so many run at a time over all workers.
GIT_IMPORT_SECONDS = env.integer("GIT_IMPORT_SECONDS", 300, least=5, most=3600)
GIT_IMPORT_CONCURRENCY = env.integer("GIT_IMPORT_CONCURRENCY", 2, least=1, most=100)
