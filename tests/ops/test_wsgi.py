"""The WSGI entry point serves what needs no stream."""

import httpx2


def test_a_wsgi_server_can_serve_the_site(transactional_db: None):
    from aiassist.wsgi import application  # noqa: PLC0415 - builds the whole site

    transport = httpx2.WSGITransport(app=application)
    with httpx2.Client(transport=transport, base_url="http://testserver") as client:
        for path in ("/health", "/static/css/tokens.css"):
            answer = client.get(path)

            assert (answer.status_code, bool(answer.content)) == (200, True), path
