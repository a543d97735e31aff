"""No private address is reached, whoever names it: a row, a redirect, a resolver that changes its mind."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from sluice.web.address import Allowed
from sluice.web.answer import FetchFailure
from sluice.web.config import FetchConfig
from sluice.web.http1 import Http1Client
from sluice.web.resolve import Resolver

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "2001:db8::1",
    "2001:0:7f00:1:0:0:8000:fffe",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address):
    assert Allowed([]).why_not("example.org", address) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address):
    assert Allowed([]).why_not("example.org", address) is None


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_refused(address):
    if not address.is_global or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)
        embedded = str(address).startswith("64:ff9b:") or (mapped is not None and mapped.is_global)
        assert embedded or Allowed([]).why_not("example.org", str(address)) is not None


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fe80::1", "100.100.100.200"])
def test_a_name_that_is_allowed_does_not_lead_to_the_keys_of_a_machine(address):
    assert Allowed(["images.intranet"]).why_not("images.intranet", address) is not None
    assert Allowed(["images.intranet", "10.0.0.0/8"]).why_not("images.intranet", "192.168.0.1") is None
    assert Allowed([str(ip_address(address))]).why_not("anything", address) is None


def test_a_resolver_that_changes_its_mind_gains_nothing(web, fetching, monkeypatch):
    """DNS rebinding: a public answer to whoever checks, loopback to whoever connects."""
    answers = iter([["8.8.8.8"], *[["127.0.0.1"]] * 99])

    async def rebinding(host, port):
        return next(answers)

    monkeypatch.setattr("sluice.web.resolve.system_lookup", rebinding)
    work = fetching(allow=[], connect=0.3, tries=2, robots=False)
    rows = work.of(web.url("/ok/1.jpg", "evil.test"), web.url("/ok/2.jpg", "evil.test"))
    assert all(row["failure_class"] in ("unsafe", "timeout", "network") for row in rows)
    assert web.asked == []


def test_the_address_is_checked_where_the_socket_is_made(web):
    """A resolver that lets everything pass, as if its check were not there: the connection is refused all the same."""

    class Lying(Resolver):
        async def addresses(self, host, port):
            return ["127.0.0.1"]

    async def ask():
        client = Http1Client(FetchConfig(), Lying(Allowed([])), ssl.create_default_context())
        try:
            async with client.open(URL(web.url("/ok/1.jpg", "evil.test")), {}):
                pass
        finally:
            await client.close()

    with pytest.raises(FetchFailure, match="not public") as caught:
        asyncio.run(ask())
    assert caught.value.failure_class == "unsafe" and web.asked == []


def test_a_redirect_into_the_network_is_refused(web, fetching, monkeypatch):
    async def lookup(host, port):
        return ["127.0.0.1"]

    monkeypatch.setattr("sluice.web.resolve.system_lookup", lookup)
    work = fetching(allow=["a.test"])
    target = web.url("/ok/1.jpg", "b.test")
    [row] = work.of(web.url(f"/moved-to/{target}", "a.test"))
    assert row["failure_class"] == "unsafe" and row["final_url"] == target
    assert not any(path.startswith("/ok") for path in web.paths())


def test_a_list_of_allowed_hosts_is_checked_with_the_recipe():
    with pytest.raises(ValueError, match="neither the name of a host nor a network"):
        FetchConfig(allow=("http://a/b",))
