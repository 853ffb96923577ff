"""A real OpenID Connect provider as a process of its own: django-oauth-toolkit.

It has people with passwords, one registered client, a consent page, PKCE, signed ID
tokens, discovery and keys; nothing here knows the code under test. What it says about
somebody is in its environment:

    PEOPLE='{"eve": {"email": "e@x.test", "email_verified": true}}' \
    ISSUER=http://127.0.0.1:8151 DATABASE=/tmp/provider.db \
    REDIRECT_URI=http://127.0.0.1:8000/accounts/oidc/oidc/login/callback/ \
        python -m tests.browser.provider
"""

CLIENT_ID, CLIENT_SECRET = "aiassist", "the client's secret"
PASSWORD = "open sesame"  # everybody's
