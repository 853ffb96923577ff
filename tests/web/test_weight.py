"""What the site's own styles and scripts weigh, and whose code they are."""

from pathlib import Path

from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
MOST_BYTES = 100_000  # of all pages together, uncompressed


def test_all_of_our_styles_and_scripts_stay_under_100_kb():
    files = [*STATIC.rglob("*.css"), *STATIC.rglob("*.js")]

    assert len(files) > 20
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_nobody_elses_code_is_pasted_in():
    for file in (*STATIC.rglob("*.css"), *STATIC.rglob("*.js")):
        text = file.read_text()
        assert max(map(len, text.splitlines()), default=0) < 400, file  # minified
        assert "@license" not in text.lower() and "copyright" not in text.lower(), file
