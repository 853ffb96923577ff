"""W1: a user-given URL reaches public addresses only, however it is written."""

import asyncio
import socket
from typing import Any

import httpcore2
import pytest

from aiassist.lib.addresses import all_public, is_plain_host
from aiassist.lib.egress import (
    AddressRefused,
    Caps,
    EgressTimeout,
    Unreachable,
)
from aiassist.lib.public_egress import checked_url, open_url

# Refused by their form alone, before any name is looked up.
ODD_FORMS = [
    "http://2130706433/",  # 127.0.0.1 as one number
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://00.0.0.0/",
    "http://127.0.0.1./",
    "http://127.0.0.01/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://0x8.0x8.0x8.0x8/",  # odd, though public
    "http://134744072/",  # 8.8.8.8 as one number
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://sub.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://router.home.arpa/",
    "http://intranet/",
    "http://[::1%25lo]/",
    "http://[fe80::1%25eth0]/",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com%00.evil.test/",
    "http://exa mple.com/",
    "http://example.com\r\nHost: evil.test/",
    "http://\t127.0.0.1/",
    "http:///etc/passwd",
    "//example.com/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:99999/",
    "http://[::1/",
    "http://-bad-.example.com/",
    "",
]

# Refused by the address they lead to.
INNER_ADDRESSES = [
    "http://127.0.0.1/",
    "http://127.255.255.254/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",  # CGNAT
    "http://100.127.255.255/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",  # 6to4 relay
    "http://168.63.129.16/",  # Azure's metadata host
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[64:ff9b::7f00:1]/",  # NAT64 of 127.0.0.1
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",  # 6to4 of 127.0.0.1
    "http://[2001:0:7f00:1::]/",  # Teredo
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[3fff::1]/",
]

PUBLIC = [
    "http://8.8.8.8/",
    "https://example.com/hook?a=b#c",
    "https://example.com:8443/hook",
    "https://sub-domain.example.co.uk/",
    "http://[2606:4700:4700::1111]/",
    "https://xn--bcher-kva.example/",
]


@pytest.mark.parametrize("url", ODD_FORMS)
def test_w1_refuses_an_odd_form(url: str) -> None:
    with pytest.raises(AddressRefused):
        checked_url(url)


@pytest.mark.parametrize("url", INNER_ADDRESSES)
async def test_w1_refuses_an_inner_address(url: str) -> None:
    with pytest.raises(AddressRefused):
        checked_url(url)
    with pytest.raises(AddressRefused):
        async with open_url("GET", url):
            pytest.fail("connected")


@pytest.mark.parametrize("url", PUBLIC)
def test_w1_lets_a_public_form_through(url: str) -> None:
    assert checked_url(url) == url


def test_w1_one_inner_address_among_public_ones_refuses_the_name() -> None:
    assert all_public(["8.8.8.8", "2606:4700:4700::1111"])
    assert not all_public(["8.8.8.8", "10.0.0.1"])
    assert not all_public([])


async def test_w1_a_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolves_to(monkeypatch, "93.184.216.34", "127.0.0.1")

    with pytest.raises(AddressRefused):
        async with open_url("GET", "http://rebind.example.com/"):
            pytest.fail("connected")


async def test_w1_connects_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the second answer of the resolver is never asked for."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    connected_to: list[str] = []

    async def lookup(loop: Any, host: str, port: int, **kwargs: Any) -> Any:
        return [_address(ip, port) for ip in next(answers)]

    async def connect(backend: Any, host: str, port: int, **kwargs: Any) -> Any:
        connected_to.append(host)
        raise OSError("no network in tests")

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", lookup)
    monkeypatch.setattr("httpcore2.AnyIOBackend.connect_tcp", connect)
    with pytest.raises(OSError, match="no network"):
        async with open_url("GET", "http://rebind.example.com/"):
            pytest.fail("connected")

    assert connected_to == ["93.184.216.34"]


async def test_the_next_checked_address_is_tried_when_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected_to: list[str] = []

    async def connect(backend: Any, host: str, port: int, **kwargs: Any) -> Any:
        connected_to.append(host)
        raise httpcore2.ConnectError("no route")

    _resolves_to(monkeypatch, "2606:4700:4700::1111", "93.184.216.34")
    monkeypatch.setattr("httpcore2.AnyIOBackend.connect_tcp", connect)
    with pytest.raises(Unreachable):
        async with open_url("GET", "http://both.example.com/"):
            pytest.fail("connected")

    assert connected_to == ["2606:4700:4700::1111", "93.184.216.34"]


async def test_a_name_that_leads_nowhere_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lookup(loop: Any, host: str, port: int, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", lookup)
    with pytest.raises(Unreachable):
        async with open_url("GET", "http://nowhere.example.com/"):
            pytest.fail("connected")


async def test_s2_a_resolver_that_hangs_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lookup(loop: Any, host: str, port: int, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", lookup)
    with pytest.raises(EgressTimeout) as caught:
        async with open_url(
            "GET", "http://slow.example.com/", caps=Caps(connect_seconds=0.2)
        ):
            pytest.fail("connected")
    assert caught.value.details == {"phase": "connect"}


def test_plain_hosts_are_judged_without_a_resolver() -> None:
    assert is_plain_host("example.com.")
    assert is_plain_host("2606:4700::1111")
    assert not is_plain_host("fe80::1%eth0")
    assert not is_plain_host("1:2:3")
    assert not is_plain_host("a" * 64 + ".com")
    assert not is_plain_host("a." * 130 + "com")


def _address(ip: str, port: int) -> Any:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))


def _resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def lookup(loop: Any, host: str, port: int, **kwargs: Any) -> Any:
        return [_address(address, port) for address in addresses]

    monkeypatch.setattr("asyncio.BaseEventLoop.getaddrinfo", lookup)
