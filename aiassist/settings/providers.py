"""Language model providers: switched on by their key or address."""

from aiassist import env

_HTTP = ("http", "https")

OLLAMA_URL = env.url("OLLAMA_URL", "http://127.0.0.1:11434", schemes=_HTTP)
OPENAI_API_KEY = env.text("OPENAI_API_KEY")
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL", "https://api.openai.com/v1", schemes=_HTTP)
ANTHROPIC_API_KEY = env.text("ANTHROPIC_API_KEY")
ANTHROPIC_BASE_URL = env.url(
    "ANTHROPIC_BASE_URL", "https://api.anthropic.com", schemes=_HTTP
)
GOOGLE_API_KEY = env.text("GOOGLE_API_KEY")
GOOGLE_BASE_URL = env.url(
    "GOOGLE_BASE_URL", "https://generativelanguage.googleapis.com", schemes=_HTTP
)
# `host:port` in the operator's own network where staff may say that a model is had
# (by http too), and where users may say that their own key belongs; others must be
# public and speak https.
UPSTREAM_ALLOWED_HOSTS = [host.lower() for host in env.words("UPSTREAM_ALLOWED_HOSTS")]
PROVIDER_KEY_ALLOWED_HOSTS = [
    host.lower() for host in env.words("PROVIDER_KEY_ALLOWED_HOSTS")
]
# The certificate of their authority, as PEM; empty: the usual authorities alone.
PROVIDER_CA_FILE = env.text("PROVIDER_CA_FILE")
PROVIDER_CONNECT_TIMEOUT_SECONDS = 5.0
PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS = 60.0
PROVIDER_IDLE_TIMEOUT_SECONDS = 30.0
PROVIDER_TOTAL_TIMEOUT_SECONDS = 600.0
# A server told to stop lets streams go on for so long, then ends them in words. Less
# than the server's own patience (GRACEFUL_SECONDS in deploy/entrypoint).
STREAM_DRAIN_SECONDS = env.integer("STREAM_DRAIN_SECONDS", 20, most=600)
# How long a process may go by the catalogue as it read it last: an edit in the admin
# is effective everywhere within this time.
CATALOGUE_CACHE_SECONDS = 1.0
