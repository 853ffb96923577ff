"""Accounts: allauth, JWT and API keys.

Source: https://docs.allauth.org/en/latest/account/configuration.html
"""

from typing import Any

from aiassist import env

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/dashboard/"
LOGOUT_REDIRECT_URL = "/"

PASSWORD_HASHERS = [
    "accounts.signing_in.hashers.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "full_name")},
    },
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
]

# What SECRET_KEY was: sessions, links, second factors and seals of it still open.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_PREVIOUS")
# The pepper that keys were made under before API_KEY_PEPPER; empty: none.
API_KEY_PEPPER_PREVIOUS = env.text("API_KEY_PEPPER_PREVIOUS")

ACCOUNT_ADAPTER = "accounts.signing_in.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "accounts.signing_in.forms.SignupForm",
    "change_password": "accounts.signing_in.forms.ChangePasswordForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[aiassist] "
# Only in the browser that signed up; from another one, the person signs in.
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Guessing is stopped in accounts.signing_in.guessing, on every door with the same
# counters; these keep the other forms from being flooded.
ACCOUNT_RATE_LIMITS = {
    "login_failed": None,
    "login": "30/m/ip",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "reauthenticate": "10/m/user",
}

USERSESSIONS_TRACK_ACTIVITY = True

# The provider for editors and CLIs: accounts/identity.
IDP_OIDC_ADAPTER = "accounts.identity.adapter.IdentityAdapter"
# PEM of an RSA key; empty: one is made and kept sealed in the database. A line break
# may be written as \n, since few tools put several lines in a variable.
IDP_OIDC_PRIVATE_KEY = env.text("IDP_OIDC_PRIVATE_KEY").replace("\\n", "\n")
# How apps that staff did not register may come: none, by registering themselves, by
# the document behind the address that is their id, or any of both. Documents have to
# be fetched from the Internet, which a machine of one's own may not reach.
WAYS_OF_NEW_APPS = ("none", "registration", "document", "any")
NEW_APPS = env.choice("NEW_APPS", "registration", among=WAYS_OF_NEW_APPS)
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 3600
IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN = 30 * 86400  # from its last use
IDP_OIDC_ROTATE_REFRESH_TOKEN = True
IDP_OIDC_AUTHORIZATION_CODE_EXPIRES_IN = 60
IDP_OIDC_DEVICE_CODE_EXPIRES_IN = 300
# Of 20^8 codes that live five minutes.
IDP_OIDC_RATE_LIMITS = {"device_user_code": "10/m/user,60/m/ip"}

MFA_ADAPTER = "accounts.signing_in.adapters.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "accounts.signing_in.forms.SecondFactorForm",
    "reauthenticate": "accounts.signing_in.forms.SecondFactorAgainForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "aiassist"

SOCIALACCOUNT_ADAPTER = "accounts.signing_in.adapters.SocialAdapter"
SOCIALACCOUNT_QUERY_EMAIL = True
# A provider's word about an address never opens an account that is there already:
# who wants both signs in first and then connects the provider.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False

_OIDC_SCOPE = ["openid", "email", "profile"]


# A GitHub Enterprise Server, when it is not github.com.
_GITHUB_URL = env.url("GITHUB_URL", schemes=("https", "http"))


def _app(variables: str, **more: object) -> dict[str, Any] | None:
    """Return the provider's app when both its variables are set."""
    client_id = env.text(f"{variables}_CLIENT_ID")
    secret = env.text(f"{variables}_CLIENT_SECRET")
    if not (client_id and secret):
        return None
    return {"client_id": client_id, "secret": secret, **more}


def _oidc_apps() -> list[dict[str, Any]]:
    """Return Auth0 and the generic provider, both spoken to in OpenID Connect."""
    auth0 = env.text("AUTH0_DOMAIN").removeprefix("https://").rstrip("/")
    issuer = env.url("OIDC_ISSUER", schemes=("https", "http"))
    found = [
        _app(
            "AUTH0",
            provider_id="auth0",
            name="Auth0",
            settings={"server_url": f"https://{auth0}", "scope": _OIDC_SCOPE},
        )
        if auth0
        else None,
        _app(
            "OIDC",
            provider_id="oidc",
            name=env.text("OIDC_NAME", "Single sign-on"),
            settings={"server_url": issuer, "scope": _OIDC_SCOPE},
        )
        if issuer
        else None,
    ]
    return [app for app in found if app is not None]


def _providers() -> dict[str, dict[str, Any]]:
    """Return those sign-in providers whose variables are set."""
    wanted: dict[str, dict[str, Any]] = {
        "github": {
            "APPS": [_app("GITHUB")],
            "SCOPE": ["user:email", "read:user"],
            **({"GITHUB_URL": _GITHUB_URL} if _GITHUB_URL else {}),
        },
        "google": {
            "APPS": [_app("GOOGLE")],
            "SCOPE": _OIDC_SCOPE,
            "AUTH_PARAMS": {"access_type": "online"},
        },
        # Graph's /me, which tells who signs in, refuses a token without User.Read.
        "microsoft": {
            "APPS": [_app("MICROSOFT")],
            "SCOPE": [*_OIDC_SCOPE, "User.Read"],
        },
        "openid_connect": {"APPS": _oidc_apps()},
    }
    # A code that somebody else got hold of opens nothing: all of them know PKCE.
    # Source: https://www.rfc-editor.org/rfc/rfc9700#section-2.1.1
    return {
        name: {**provider, "OAUTH_PKCE_ENABLED": True}
        for name, provider in wanted.items()
        if any(provider["APPS"])
    }


SOCIALACCOUNT_PROVIDERS = _providers()


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _sign_in_origins() -> list[str]:
    """Return where a sign-in form may lead: browsers hold redirects to form-action."""
    known = {
        "github": [_origin(_GITHUB_URL or "https://github.com")],
        "google": ["https://accounts.google.com"],
        "microsoft": ["https://login.microsoftonline.com"],
        "openid_connect": [
            _origin(app["settings"]["server_url"])
            for app in SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", [])
        ],
    }
    return [o for name in SOCIALACCOUNT_PROVIDERS for o in known[name]]


SIGN_IN_ORIGINS = _sign_in_origins()
