"""Recognised secrets in code are hidden before it is embedded, shown or sent (F8).

Lines keep their number, so that citations stay true. What is recognised: vendors'
published token formats, private key blocks, passwords in addresses, and random
looking values assigned to names such as `password` or `api_key`.
Sources: https://docs.github.com/code-security/secret-scanning/introduction/supported-secret-scanning-patterns
https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Format:
    """A token's shape. Texts without any of the `marks` are not searched."""

    name: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]


def _format(name: str, marks: str, pattern: str) -> _Format:
    return _Format(name, tuple(marks.split()), re.compile(pattern))


_FORMATS = (
    _format("aiassist key", "aia_", r"\baia_[0-9A-Za-z]{36}(?![0-9A-Za-z])"),
    _format(
        "AWS key id",
        "AKIA ASIA ABIA ACCA",
        r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])",
    ),
    _format("GitHub token", "gh", r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
    _format("GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    _format("GitLab token", "glpat-", r"\bglpat-[A-Za-z0-9_-]{20,64}"),
    _format("Slack token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _format("Slack token", "xapp-", r"\bxapp-\d-[A-Za-z0-9-]{20,250}"),
    _format(
        "Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,120}",
    ),
    _format(
        "Stripe key",
        "sk_live_ sk_test_ rk_live_ rk_test_",
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}",
    ),
    _format("webhook secret", "whsec_", r"\bwhsec_[A-Za-z0-9+/=_-]{16,128}"),
    _format("Google API key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _format("Google secret", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{20,64}"),
    _format("Google token", "ya29.", r"\bya29\.[A-Za-z0-9_-]{20,1024}"),
    _format(
        "API key", "sk-", r"\bsk-(?=[A-Za-z_-]{0,20}[A-Za-z0-9])[A-Za-z0-9_-]{20,255}"
    ),
    _format("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,64}"),
    _format("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}"),
    _format("PyPI token", "pypi-", r"\bpypi-[A-Za-z0-9_-]{50,512}"),
    _format("SendGrid key", "SG.", r"\bSG\.[\w-]{16,32}\.[\w-]{32,64}"),
    _format("Twilio key", "SK AC", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    _format("Telegram token", ":AA", r"\b\d{8,10}:AA[\w-]{33}"),
    _format("DigitalOcean token", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    _format("Azure key", "AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/]{80,90}={0,2}"),
    _format("age key", "AGE-SECRET-KEY-1", r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,64}"),
    _format("Vault token", "hvs.", r"\bhvs\.[\w-]{20,255}"),
    _format("Shopify token", "shp", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _format(
        "JWT",
        "eyJ",
        r"\beyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}",
    ),
)

# Told by the text that it stands in: a mark anywhere makes the pattern worth a look.
_AWS_SECRET = _format(
    "AWS secret",
    "aws AWS Aws",
    r"(?i)(?<=['\"=: ])(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
)

_PEM_START = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINES = 150  # of a block whose end is missing

_URL_PASSWORD = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"<>{}]{0,80}:(?P<value>[^\s/:@'\"<>{}$]{4,200})@"
)
_WORDS = ("password", "passwd", "passphrase", "pwd", "secret", "token", "credential")
_KEYS_OF = ("api", "access", "private", "signing", "encryption", "auth")
_NAME = f"(?:{'|'.join(_WORDS)}|(?:{'|'.join(_KEYS_OF)})[_-]?key)"
# The same, to be looked for without a pattern.
_NAMES = (*_WORDS, *(f"{of}{sign}key" for of in _KEYS_OF for sign in ("", "_", "-")))
_QUOTED = re.compile(
    rf"(?i){_NAME}[\w-]{{0,30}}['\"\]]{{0,2}}\s{{0,8}}(?::=|=>|[:=])\s{{0,8}}[bruf]{{0,2}}"
    r"(?P<quote>['\"`])(?P<value>[^\s'\"`]{12,512})(?P=quote)"
)
_BARE = re.compile(
    rf"(?im)^[ \t]{{0,40}}(?:export[ \t]{{1,4}})?[\w.-]{{0,60}}{_NAME}[\w-]{{0,30}}"
    r"[ \t]{0,8}[:=][ \t]{0,8}(?P<value>[A-Za-z0-9+/=_\-.~!@#%^&*]{16,512})"
    r"[ \t]{0,8}$"
)
_NAME_HINT = re.compile(rf"(?i){_NAME}")
_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|changeme|change-me|your[_-]|insert|dummy|xxxx|\*\*\*|<|\$\{"
    r"|\{\{|%\(|redacted"
)


def redact(text: str) -> str:
    """Return the text with secrets replaced; as many lines as before."""
    return _cover_all(text, _spans(text))


class Concealed:
    """A text whose lines are shown a few at a time, secrets hidden.

    `lines` costs what it shows, and shows what `redact` of the whole would show there.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._speaks_of_aws = _is_marked(_AWS_SECRET, text)
        # A key's block may begin far above the lines asked for.
        block = _PEM_START.search(text)
        self._whole = redact(text).split("\n") if block else None

    def lines(self, first: int, last: int) -> str:
        """Return the lines `first` to `last`, 1-based and inclusive."""
        start, end = max(first - 1, 0), min(last, len(self._lines))
        if start >= end:
            return ""
        if self._whole is not None:
            return "\n".join(self._whole[start:end])
        above, below = start, end
        while above > 0 and not self._parts(above):
            above -= 1
        while below < len(self._lines) and not self._parts(below):
            below += 1
        part = "\n".join(self._lines[above:below])
        spans = list(_line_spans(part))
        if self._speaks_of_aws:
            spans += _aws_secret_spans(part)
        clean = _cover_all(part, spans).split("\n")
        return "\n".join(clean[start - above : end - above])

    def _parts(self, number: int) -> bool:
        """Tell that no secret's pattern reaches over the start of this line.

        Only an assignment may be broken, right before or after its sign.
        """
        before = self._lines[number - 1].rstrip()
        after = self._lines[number].lstrip()
        return bool(
            before and after and before[-1] not in "=>:" and after[0] not in ":="
        )


def holds_secret(text: str) -> bool:
    """Tell whether `redact` would change the text."""
    return next(_spans(text), None) is not None


def _cover_all(text: str, secrets: Iterable[tuple[int, int, str]]) -> str:
    spans = sorted(secrets)
    if not spans:
        return text
    pieces: list[str] = []
    position = 0
    for start, end, name in spans:
        if end <= position:
            continue
        start = max(start, position)
        pieces.append(text[position:start])
        pieces.append(_cover(text[start:end], name))
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _cover(secret: str, name: str) -> str:
    return "\n".join(f"[hidden: {name}]" for _ in secret.split("\n"))


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, name) of each secret."""
    yield from _pem_spans(text)
    if _is_marked(_AWS_SECRET, text):
        yield from _aws_secret_spans(text)
    yield from _line_spans(text)


def _line_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield those that the lines around them tell, whatever the rest of the text."""
    for form in _FORMATS:
        if _is_marked(form, text):
            for match in form.pattern.finditer(text):
                yield match.start(), match.end(), form.name
    if "://" in text:
        for match in _URL_PASSWORD.finditer(text):
            if not _PLACEHOLDER.search(match.group("value")):
                yield *match.span("value"), "password"
    if _may_name_a_secret(text):
        yield from _assigned_spans(text)


def _is_marked(form: _Format, text: str) -> bool:
    for mark in form.marks:  # quicker than any() of a generator, and called often
        if mark in text:
            return True
    return False


def _may_name_a_secret(text: str) -> bool:
    """Tell quickly where no name of a secret stands. Other scripts' letters may match
    an ASCII one whatever its case, so the pattern itself looks at those texts.
    """
    if not text.isascii():
        return _NAME_HINT.search(text) is not None
    lowered = text.lower()
    return any(word in lowered for word in _NAMES)


def _aws_secret_spans(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _AWS_SECRET.pattern.finditer(text):
        if is_random(match.group()):
            yield match.start(), match.end(), _AWS_SECRET.name


def _assigned_spans(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _QUOTED.finditer(text):
        if is_random(match.group("value")):
            yield *match.span("value"), "secret"
    for match in _BARE.finditer(text):
        value = match.group("value")
        # Unquoted words are mostly code; only what no identifier looks like counts.
        if is_random(value) and _has_all_kinds(value):
            yield *match.span("value"), "secret"


def _pem_spans(text: str) -> Iterator[tuple[int, int, str]]:
    position = 0
    while (start := _PEM_START.search(text, position)) is not None:
        # Blocks in string literals carry their line ends as `\n`; all go.
        end = _PEM_END.search(text, start.end(), start.end() + 20_000)
        stop = end.end() if end else _nth_line_end(text, start.end(), _PEM_LINES)
        yield start.start(), stop, "private key"
        position = stop


def _nth_line_end(text: str, position: int, n_lines: int) -> int:
    for _ in range(n_lines):
        found = text.find("\n", position + 1)
        if found < 0:
            return len(text)
        position = found
    return position


def is_random(value: str) -> bool:
    """Tell a generated value from a word, path or placeholder.

    At least 3.2 bits of Shannon entropy per character, letters and digits mixed.
    """
    if len(value) < 12 or _PLACEHOLDER.search(value):
        return False
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isalpha() for c in value)
    if digits < 2 or letters < 2 or value.startswith(("http", "/", "./", "{", "$")):
        return False
    return entropy(value) >= 3.2


def entropy(value: str) -> float:
    """Return Shannon's entropy in bits per character."""
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)


def _has_all_kinds(value: str) -> bool:
    return (
        any(c.islower() for c in value)
        and any(c.isdigit() for c in value)
        and (any(c.isupper() for c in value) or entropy(value) >= 3.6)
        and not value.endswith(("(", ".", ")"))
    )
