"""Sign-in for editors and CLIs: OAuth 2 with a device code, or a code with PKCE.

allauth speaks the protocol (`allauth.idp.oidc`); what a person let an app do is a
`TokenFamily`, as any other sign-in by token, so that it ends when those end.
"""
