//! Which addresses a redirect may lead to.
//!
//! Whoever answers for a model's URL can send the server anywhere by a redirect: to a cloud's metadata service,
//! to a sidecar on its own loopback, to services of the cluster. What the owner named is trusted to be what
//! it is; a redirect may lead to the public internet, and stay in the network that the owner named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached, by the registries of special addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressScope {
    /// From everywhere.
    Public,
    /// Within an organisation or a cluster: private and unique local addresses, and shared ones (CGNAT).
    Private,
    /// From this machine or pod alone.
    Loopback,
    /// From the same link, where metadata services are; several receivers; or nothing that one connects to.
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
            // IPv4 in it: mapped, translated by NAT64 (RFC 6052), "compatible", which is long gone, or 6to4
            // (RFC 3056).
            [0, 0, 0, 0, 0, 0xffff | 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => {
                let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
                Self::of_v4(Ipv4Addr::new(a, b, c, d))
            }
            [0xfc00..=0xfdff, ..] | [0x64, 0xff9b, 1, ..] => Self::Private,
            // Global unicast is 2000::/3; the rest is link-local, multicast or unassigned.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }

    /// Whether a redirect of a model that is reached so may lead to an address that is reached so.
    pub(super) fn may_redirect_to(self, target: Self) -> bool {
        target == Self::Public || target == self
    }
}

/// Whether redirects may lead anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectPolicy {
    /// To public addresses, and to those that are reached as the model's own.
    SameScope,
    /// The administrator has allowed every address.
    Anywhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(address: &str) -> AddressScope {
        AddressScope::of(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_reached_as_the_registries_say() {
        for (reached, addresses) in [
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
                assert_eq!(reach(address), reached, "{address}");
            }
        }
    }

    #[test]
    fn a_redirect_stays_where_the_owner_sent_it_or_goes_to_the_public() {
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
