//! The scopes of addresses, and the redirects that they allow.
//!
//! A web server can redirect a download to any address: a metadata service of the cloud, a sidecar on the loopback
//! interface, or services of the cluster. The host in the URI is trusted, because the owner of the ModelService chose
//! it. Redirects may lead to public addresses and to the scope of that host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part of the network from which an address is reachable, by the registries of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressScope {
    /// The internet.
    Public,
    /// An organisation or a cluster: private, unique local and shared (CGNAT) addresses.
    Private,
    /// This machine or pod.
    Loopback,
    /// A link, on which metadata services are; multicast; or addresses without connections.
    Special,
}

impl AddressScope {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    const fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => {
                Self::Special
            }
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address == Ipv6Addr::LOCALHOST {
            return Self::Loopback;
        }
        match address.segments() {
            // It contains an IPv4 address: mapped, translated by NAT64 (RFC 6052), the deprecated "compatible" form, or
            // 6to4 (RFC 3056).
            [0, 0, 0, 0, 0, 0xffff | 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => {
                let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
                Self::of_v4(Ipv4Addr::new(a, b, c, d))
            }
            [0xfc00..=0xfdff, ..] | [0x64, 0xff9b, 1, ..] => Self::Private,
            // Global unicast is 2000::/3. The rest is link-local, multicast or unassigned.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }

    /// Whether a redirect of a host in this scope may lead to an address in another scope.
    pub(super) fn may_redirect_to(self, target: Self) -> bool {
        target == Self::Public || target == self
    }
}

/// The addresses that redirects may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectPolicy {
    /// Public addresses, and those in the scope of the model's host.
    SameScope,
    /// All addresses, as the administrator has allowed.
    Anywhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(address: &str) -> AddressScope {
        AddressScope::of(address.parse().unwrap())
    }

    #[test]
    fn scopes_are_those_of_the_registries() {
        for (expected, addresses) in [
            (
                AddressScope::Public,
                &[
                    "8.8.8.8",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1111",
                    "::ffff:1.1.1.1",
                ][..],
            ),
            (
                AddressScope::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "fd00::1",
                    "fd00:ec2::254",
                    "::ffff:10.0.0.1",
                    "64:ff9b::10.0.0.1",
                    "2002:a00:1::",
                ],
            ),
            (
                AddressScope::Loopback,
                &[
                    "127.0.0.1",
                    "127.9.9.9",
                    "::1",
                    "::ffff:127.0.0.1",
                    "::127.0.0.1",
                ],
            ),
            (
                AddressScope::Special,
                &[
                    "0.0.0.0",
                    "169.254.169.254",
                    "192.0.0.192",
                    "198.18.0.1",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "fe80::1",
                    "ff02::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(scope(address), expected, "{address}");
            }
        }
    }

    #[test]
    fn a_redirect_stays_in_its_scope_or_is_public() {
        let all = [
            AddressScope::Public,
            AddressScope::Private,
            AddressScope::Loopback,
            AddressScope::Special,
        ];
        for from in all {
            for to in all {
                let allowed = to == AddressScope::Public || from == to;
                assert_eq!(from.may_redirect_to(to), allowed, "{from:?} to {to:?}");
            }
        }
    }
}
