//! A range of addresses, as in `10.0.0.0/8`.

use std::{fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

/// A range of addresses, as in `10.0.0.0/8` or `fd00::/8`; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a network as in 10.0.0.0/8, without bits behind its prefix")]
pub struct MalformedNetwork;

impl Network {
    /// Whether `address` lies in it. A mapped address is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differs = u32::from(first) ^ u32::from(address);
                differs.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differs = u128::from(first) ^ u128::from(address);
                differs.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether no bit of `first` stands behind the prefix.
    fn is_whole(&self) -> bool {
        let bits = match self.first {
            IpAddr::V4(first) => u128::from(u32::from(first)) << 96,
            IpAddr::V6(first) => u128::from(first),
        };
        bits.checked_shl(self.prefix).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = MalformedNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, prefix) = text.split_once('/').map_or((text, None), |(first, it)| (first, Some(it)));
        let first = first.parse::<IpAddr>().ok().ok_or(MalformedNetwork)?;
        // Whether the prefix of a mapped address counts from the front or from its IPv4 part, nobody can know.
        if first.to_canonical() != first {
            return Err(MalformedNetwork);
        }
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let number = |text: &str| {
            let is_plain = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|prefix| is_plain && *prefix <= bits)
        };
        let prefix = prefix.map_or(Some(bits), number).ok_or(MalformedNetwork)?;
        let network = Self { first, prefix };
        if network.is_whole() { Ok(network) } else { Err(MalformedNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_ends_at_its_last_address() {
        let inside = [
            ("10.0.0.0/8", "10.255.255.255"),
            ("10.0.0.0/31", "10.0.0.1"),
            ("10.0.0.5", "10.0.0.5"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("fd00::/8", "fdff::1"),
            ("::/0", "ffff::1"),
            ("fd00::1", "fd00::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ];
        for (network, address) in inside {
            assert!(contains(network, address), "{network} {address}");
        }
        let outside = [
            ("10.0.0.0/8", "11.0.0.0"),
            ("10.0.0.0/31", "10.0.0.2"),
            ("10.0.0.5", "10.0.0.4"),
            ("0.0.0.0/0", "::1"),
            ("fd00::/8", "fe00::1"),
            ("::/0", "10.0.0.1"),
            ("::/0", "::ffff:10.0.0.1"),
            ("fd00::1", "fd00::2"),
        ];
        for (network, address) in outside {
            assert!(!contains(network, address), "{network} {address}");
        }
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "10.0.0.1/32", "::/0"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let texts = [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "10.0.0.1/8",
            "fd00::/129",
            "fd00::1/64",
            "::ffff:10.0.0.0/104",
            "gpu-1",
            "10.0.0.0/0008",
            " 10.0.0.0/8",
        ];
        for text in texts {
            assert_eq!(text.parse::<Network>(), Err(MalformedNetwork), "{text:?}");
        }
    }
}
