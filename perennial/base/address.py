"""Which addresses of the internet are public: those we may call on a stranger's word."""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Beyond what `is_global` knows (IANA special-purpose registries, RFC 6890 and later; older Pythons lack some of them).
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "192.0.0.0/24",  # protocol assignments; one cloud's metadata service lives here
            "192.88.99.0/24",  # 6to4 relays, withdrawn by RFC 7526
            "168.63.129.16/32",  # Azure's channel to the machine itself, on an address that looks public
        ),
    )
)
_UNICAST_6 = IPv6Network("2000::/3")  # all that IANA has given out for the public internet
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, among them Teredo, which holds an IPv4 address within
            "2002::/16",  # 6to4, likewise
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """False for loopback, private, link-local, shared (CGNAT), multicast, unspecified, reserved and metadata addresses, and for IPv6
    forms that hide an IPv4 address. NAT64 (RFC 6052) is as public as the IPv4 address it leads to: IPv6-only networks need it."""
    try:
        parsed = ip_address(address)
    except (AddressValueError, ValueError):
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_4(parsed)
    if parsed in _NAT64:
        return _is_public_4(IPv4Address(int(parsed) & 0xFFFF_FFFF))
    return _is_public_6(parsed)


def _is_public_4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    return address.is_global and address.scope_id is None and address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
