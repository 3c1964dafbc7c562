"""Receivers cannot be internal: which addresses are public, and which URLs an endpoint may have."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.base.address import is_public
from perennial.base.errors import Invalid
from perennial.events.rules import check_authorization, check_url

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "64:ff9b::808:808",  # NAT64 of 8.8.8.8
]

INTERNAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # a cloud's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # a cloud's metadata
    "169.254.169.254",  # most clouds' metadata
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # a cloud's metadata
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # a cloud's metadata
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "2130706433",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses_may_not(address: str) -> None:
    assert not is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_no_ipv6_form_makes_an_ipv4_address_more_public(number: int) -> None:
    plain = str(IPv4Address(number))
    assert is_public(str(IPv6Address((0x64FF9B << 96) | number))) == is_public(plain)
    for hidden in (number, 0xFFFF << 32 | number, 0x2002 << 112 | number << 80, 0x20010000 << 96 | number):
        assert not is_public(str(IPv6Address(hidden)))


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_what_is_public_is_none_of_the_special_kinds(address: IPv4Address | IPv6Address) -> None:
    if is_public(str(address)):
        special = address.is_private, address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified
        assert not any(special)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/hooks?of=perennial",
        "https://[2606:4700:4700::1111]/hooks",
        "HTTPS://EXAMPLE.COM/",
        "https://例え.jp/フック",
        "https://example.com/" + "x" * 4980,
    ],
)
def test_a_url_that_may_be(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hooks",
        "//example.com/hooks",
        "ftp://example.com",
        "file:///etc/passwd",
        "unix:///run/docker.sock",
        "javascript:alert(1)",
        "https://",
        "https:///hooks",
        "https://:443/",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://example.com/ hooks",
        "https://example.com/\r\nHost: other",
        "https://example.com/\x00",
        "https://example.com/\t",
        "https://example.com/" + "x" * 4981,
    ],
)
def test_a_url_that_may_not_be(url: str) -> None:
    with pytest.raises(Invalid) as trouble:
        check_url(url)
    assert trouble.value.param == "url"


@pytest.mark.parametrize("header", ["Bearer abc", "shared secret", "Grüße", "x" * 5000])
def test_an_authorization_header_that_may_be(header: str) -> None:
    check_authorization(header)


@pytest.mark.parametrize("header", ["", "x" * 5001, "Bearer abc\r\nX: y", " Bearer abc", "Bearer abc ", "a\x00b", "a\x7fb", "a\tb"])
def test_an_authorization_header_that_may_not_be(header: str) -> None:
    with pytest.raises(Invalid) as trouble:
        check_authorization(header)
    assert trouble.value.param == "authorization_header"
