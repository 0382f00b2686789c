//! Which addresses a request of ours may go to.
//!
//! Whoever names a URL to us could otherwise make us knock on our own doors. Allowed is what is globally reachable
//! by the IANA special-purpose registries; an IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4,
//! Teredo, ISATAP) is judged by what it carries, since a gateway on the way would unwrap it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of address that is not gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ban(pub(super) &'static str);

/// IPv4 networks that are not on the public internet, or not single hosts: network, prefix length, name.
const BANNED_V4: [(Ipv4Addr, u32, &str); 19] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by carriers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // A cloud's platform answers here although the address looks public.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud platform"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    // Reachable, but anybody may answer there: each network runs its own.
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112 sink"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "multicast relay"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112 sink"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6 networks inside 2000::/3 that are not globally reachable. Outside of it nothing is.
const BANNED_V6: [(Ipv6Addr, u32, &str); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112 sink"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

/// Whether an address may be gone to.
pub(super) fn judge(address: IpAddr) -> Result<(), Ban> {
    match address {
        IpAddr::V4(address) => judge_v4(address),
        IpAddr::V6(address) => judge_v6(address),
    }
}

fn judge_v4(address: Ipv4Addr) -> Result<(), Ban> {
    let within = |network: Ipv4Addr, length: u32| (address.to_bits() ^ network.to_bits()).leading_zeros() >= length;
    match BANNED_V4.iter().find(|(network, length, _)| within(*network, *length)) {
        Some((_, _, name)) => Err(Ban(name)),
        None => Ok(()),
    }
}

fn judge_v6(address: Ipv6Addr) -> Result<(), Ban> {
    let within = |network: &Ipv6Addr, length: u32| (address.to_bits() ^ network.to_bits()).leading_zeros() >= length;
    match carried(address) {
        Carried::Addresses(carried) => return carried.into_iter().flatten().try_for_each(judge_v4),
        Carried::Unclear => return Err(Ban("translation prefix")),
        Carried::Nothing => {}
    }
    if !within(&Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) {
        return Err(Ban("not global unicast"));
    }
    match BANNED_V6.iter().find(|(network, length, _)| within(network, *length)) {
        Some((_, _, name)) => Err(Ban(name)),
        None => Ok(()),
    }
}

/// The IPv4 addresses inside an IPv6 address.
enum Carried {
    Nothing,
    Addresses([Option<Ipv4Addr>; 2]),
    /// Inside a translation prefix, in a layout that can't be told.
    Unclear,
}

fn carried(address: Ipv6Addr) -> Carried {
    match address.segments() {
        // IPv4-mapped (RFC 4291 §2.5.5.2); NAT64's well-known prefix (RFC 6052 §2.1) and its local-use prefix
        // (RFC 8215) in the layout of a /96; 6to4 (RFC 3056 §2); ISATAP (RFC 5214 §6.1) under a public prefix.
        [0, 0, 0, 0, 0, 0xffff, a, b]
        | [0x64, 0xff9b, 0 | 1, 0, 0, 0, a, b]
        | [0x2002, a, b, ..]
        | [0x2000..=0x3fff, _, _, _, 0 | 0x0200, 0x5efe, a, b] => Carried::Addresses([Some(v4(a, b)), None]),
        // Other layouts under the local-use prefix depend on the local network.
        [0x64, 0xff9b, 1, ..] => Carried::Unclear,
        // Teredo (RFC 4380 §4): the server in clear, the client's address inverted.
        [0x2001, 0, server_a, server_b, _, _, a, b] => {
            Carried::Addresses([Some(v4(server_a, server_b)), Some(v4(!a, !b))])
        }
        _ => Carried::Nothing,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_addresses_are_gone_to() {
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.0.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "2002:808:808::1",
            "2a00::5efe:808:808",
            // Teredo: server 8.8.8.8, client 8.8.4.4.
            "2001:0:808:808:0:0:f7f7:fbfb",
        ];
        for address in allowed {
            assert_eq!(judge(address.parse().unwrap()), Ok(()), "{address}");
        }
        let banned = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:808:8:800::",
            "64:ff9b:2::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:808:808:0:0:f5ff:fffe",
            "2001:0:a00:1:0:0:f7f7:fbfb",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2620:4f:8000::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2a00::5efe:a00:1",
            "2a00::200:5efe:7f00:1",
        ];
        for address in banned {
            assert!(judge(address.parse().unwrap()).is_err(), "{address}");
        }
    }
}
