//! Which network addresses belong to the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` may be connected to when a name from outside resolves to it.
///
/// Everything that the registries of special-purpose addresses (RFC 6890 and its successors) take out of
/// the public internet is refused: loopback, private and shared ranges, link-local, documentation,
/// benchmarks, multicast, and every form that carries another address inside (mapped, NAT64, 6to4, Teredo).
//= ORCH-3080
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // "This network", private, loopback, and from multicast up to broadcast.
    let is_special = matches!(a, 0 | 10 | 127 | 224..=255)
        // Shared by carriers, link-local (where clouds keep credentials), private, benchmarks.
        || matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18 | 19))
        // Protocol assignments, documentation, the relay of 6to4, documentation twice more.
        || matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000;
    let is_special = match first {
        // Protocol assignments with Teredo, and documentation.
        0x2001 => second < 0x0200 || second == 0x0db8,
        // 6to4.
        0x2002 => true,
        // Documentation.
        0x3fff => second < 0x1000,
        _ => false,
    };
    is_global_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    //= ORCH-3080 type=test
    #[test]
    fn the_first_and_the_last_address_of_each_special_range_are_not_public() {
        let addresses = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 \
            127.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 \
            192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 \
            198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.1 239.255.255.255 \
            240.0.0.0 255.255.255.255 :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 \
            64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:1ff:ffff:: 2001:db8::1 2002:7f00:1:: 3fff::1 \
            3fff:fff:ffff:: 5f00::1 fc00::1 fdff::1 fe80::1 febf::1 fec0::1 ff02::1";
        for text in addresses.split_whitespace() {
            assert!(!is_public_address(text.parse().unwrap()), "{text}");
        }
    }

    //= ORCH-3080 type=test
    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        let addresses = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
            169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 \
            192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 \
            198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 8.8.8.8 2001:200::1 2001:db7::1 \
            2001:db9::1 2003::1 2606:4700::1111 3ffe::1 3fff:1000::1";
        for text in addresses.split_whitespace() {
            assert!(is_public_address(text.parse().unwrap()), "{text}");
        }
    }
}
