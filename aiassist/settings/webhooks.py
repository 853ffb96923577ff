"""Whom users' webhooks may tell, beside the public Internet."""

from aiassist import env

# `host:port` in the operator's own network; others must be public.
WEBHOOK_ALLOWED_HOSTS = [host.lower() for host in env.words("WEBHOOK_ALLOWED_HOSTS")]
# The certificate of their authority, as PEM; empty: the usual authorities alone.
WEBHOOK_CA_FILE = env.text("WEBHOOK_CA_FILE")
