"""F8: recognised secrets are hidden, and nothing else is."""

import random

import pytest

from workspaces.content.secrets import Concealed, holds_secret, redact
from workspaces.ignoring.filters import hard_refusal, is_secret_file

RANDOM_40 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ9vT2kLm1"

SECRETS = {
    "aws id": 'key = "AKIAIOSFODNN7EXAMPLQ"',
    "aws secret": f"aws_secret_access_key = {RANDOM_40}",
    "github": f"token: ghp_{'a1B2c3D4e5F6g7H8i9J0' * 2}",
    "github fine": f"x = github_pat_{'11ABCDEFG0' * 4}",
    "gitlab": "glpat-x9Yz8Wv7Ut6Sr5Qp4On3",
    "slack": "xoxb-123456789012-abcdefGHIJKL",
    "slack hook": "https://hooks.slack.com/services/T0123456/B0123456/abcdefghij0123456789",
    "stripe": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "google": "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "openai": "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12",
    "anthropic": "sk-ant-api03-Ab12Cd34Ef56Gh78Ij90Kl12",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "ours": "aia_" + "Ab3dE6gH9j" * 3 + "Qw5eRt",
    "quoted": 'password = "hV8!kd93Lq0zPw"',
    "dict": "{'api_key': '9f8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d'}",
    "env": "DB_PASSWORD=Zx81kQm20Pv7Lt5RbN3c",
    "yaml": "  client_secret: Zx81kQm20Pv7Lt5RbN3c",
    "address": "postgres://app:hunter2pass@db.internal/app",
    "npm": "npm_" + "Ab3dE6gH9j" * 3 + "Qw5eRt",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_f8_a_recognised_secret_is_hidden(text):
    hidden = redact(f"before\n{text}\nafter\n")

    assert "[hidden: " in hidden
    assert hidden.startswith("before\n")
    assert hidden.endswith("\nafter\n")
    assert hidden.count("\n") == 3
    assert not holds_secret(hidden)


ORDINARY = [
    'password = forms.CharField(widget=forms.PasswordInput, label="Password")',
    "password = os.environ['DB_PASSWORD']",
    "token = request.headers.get('X-CSRFToken')",
    'SECRET_KEY = "your-secret-key-here"',
    'api_key="${API_KEY}"',
    "def get_secret_key_or_default(self, name, default=None):",
    "secret_key: str = Field(default_factory=generate_secret_key)",
    "url = 'https://user@example.com/path'",
    "PASSWORD_HASHERS = ['django.contrib.auth.hashers.PBKDF2PasswordHasher']",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
    "password_reset_token = default_token_generator.make_token(user)",
    "skip-this-very-long-kebab-case-identifier",
    "class AKIAServiceFactoryImplementation:",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_code_stays_as_it_is(text):
    assert redact(text) == text


def test_f8_a_private_key_block_goes_line_by_line():
    block = (
        "-----BEGIN RSA PRIVATE KEY-----\n"
        + "MIIEpAIBAAKCAQEA\n" * 5
        + "-----END RSA PRIVATE KEY-----"
    )

    hidden = redact(f"a\n{block}\nb")

    assert "MII" not in hidden
    assert hidden.count("\n") == block.count("\n") + 2
    assert hidden.endswith("\nb")


def test_f8_a_block_without_an_end_is_hidden_too():
    hidden = redact("-----BEGIN PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA\n" * 5)

    assert "MII" not in hidden


# Lines that open, continue or end what is hidden, besides whole secrets.
PIECES = [
    *SECRETS.values(),
    "password =",
    "'api_key':",
    "SECRET_TOKEN",
    "= 'hV8!kd93Lq0zPw'",
    "'hV8!kd93Lq0zPw'",
    ": 'Zx81kQm20Pv7Lt5RbN3c',",
    "  b'Zx81kQm20Pv7Lt5RbN3c'",
    f"key = {RANDOM_40}",
    "def refund(order):",
    "    total = order.total",
    "x = {",
    "",
    "   ",
]
BLOCK = ["-----BEGIN PRIVATE KEY-----", *["MIIEpAIBAAKCAQEA"] * 3]
END = "-----END PRIVATE KEY-----"


@pytest.mark.parametrize("seed", range(60))
def test_f8_a_few_lines_show_what_the_whole_text_would_show_there(seed):
    chance = random.Random(seed)
    lines = chance.choices(PIECES, k=40)
    if seed % 3 == 0:
        place = chance.randrange(40)
        lines[place:place] = [*BLOCK, *([END] if seed % 2 else [])]
    text = "\n".join(lines)
    whole = redact(text).split("\n")

    shown = Concealed(text)

    for first in range(1, len(lines) + 2):
        for last in (first - 1, first, first + 3, first + 25, len(lines) + 9):
            assert shown.lines(first, last) == "\n".join(whole[first - 1 : last])


def test_f8_a_secret_told_by_the_rest_of_its_file_is_hidden_in_a_few_lines():
    """An AWS secret is known by a word anywhere, a key's block by its first line."""
    far = "\n" * 50
    aws = Concealed(f"import aws{far}key = {RANDOM_40}")
    block = Concealed(f"{far}{BLOCK[0]}\n" + "MIIEpAIBAAKCAQEA\n" * 99)

    assert aws.lines(51, 51) == "key = [hidden: AWS secret]"
    assert block.lines(120, 121) == "[hidden: private key]\n[hidden: private key]"


@pytest.mark.parametrize("sign", ["", "_", "-"])
@pytest.mark.parametrize("of", ["api", "ACCESS", "private", "signing", "auth"])
def test_f8_every_spelling_of_a_secrets_name_is_seen_in_a_few_lines(of, sign):
    line = f'my{of}{sign}Key = "{RANDOM_40}"'

    assert RANDOM_40 not in redact(line)
    assert Concealed(f"a = 1\n{line}\nb = 2").lines(2, 2) == redact(line)


def test_hostile_text_is_searched_in_time():
    """No pattern may take more than linear time."""
    for hostile in (
        "-----BEGIN PRIVATE KEY-----" * 20_000,
        "password" * 50_000,
        "eyJ" * 100_000,
        "a:" * 100_000 + "@",
        "://a:" * 50_000,
        "secret " * 50_000,
        "token = '" * 30_000,
        " " * 300_000 + "password",
        "sk-" * 100_000,
        "aws " + "A" * 300_000,
    ):
        redact(hostile)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "app/.env.local",
        ".env.production",
        "prod.env",
        ".envrc",
        "id_rsa",
        "keys/id_ed25519",
        "server.pem",
        "tls/private.key",
        "store.p12",
        ".netrc",
        ".aws/credentials",
        ".ssh/config",
        "infra/terraform.tfstate",
        "release.keystore",
    ],
)
def test_f8_a_file_of_secrets_is_not_kept(path):
    assert is_secret_file(path)
    assert "secrets" in hard_refusal(path)


@pytest.mark.parametrize(
    "path",
    [".env.example", "environment.py", "env.py", "src/keys.py", "id_rsa.py", "envs.md"],
)
def test_a_file_that_only_sounds_secret_is_kept(path):
    assert not is_secret_file(path)
