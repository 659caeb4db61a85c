//! Subnets in CIDR notation.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// `10.96.0.0/12` or `fd00:96::/112`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    network: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The first address.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// How many bits are the network's.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The address number so and so, counted from the network's own at 0, as far as it is inside.
    pub fn nth(&self, number: u32) -> Option<IpAddr> {
        let address = match self.network {
            IpAddr::V4(network) => {
                IpAddr::V4(Ipv4Addr::from(u32::from(network).checked_add(number)?))
            }
            IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(
                u128::from(network).checked_add(number.into())?,
            )),
        };
        self.contains(address).then_some(address)
    }

    /// Whether the address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.prefix) == self.network && address.is_ipv4() == self.network.is_ipv4()
    }

    /// Whether an address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// How many bits are left for addresses.
    pub fn host_bits(&self) -> u8 {
        bits(self.network) - self.prefix
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let form = || format!("{given:?} is no subnet; write it as in 10.96.0.0/12");
        let (network, prefix) = given.split_once('/').ok_or_else(form)?;
        let network: IpAddr = network.parse().map_err(|_| form())?;
        let all_digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| all_digits);
        let prefix: u8 = prefix
            .filter(|prefix| *prefix <= bits(network))
            .ok_or_else(form)?;
        let first = masked(network, prefix);
        if first != network {
            return Err(format!(
                "{given} is an address within a subnet; the subnet is {first}/{prefix}"
            ));
        }
        Ok(Self { network, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(given: &str) -> Subnet {
        given.parse().expect(given)
    }

    #[test]
    fn subnets_are_read_and_printed() {
        for given in [
            "10.96.0.0/12",
            "0.0.0.0/0",
            "10.0.0.7/32",
            "fd00:96::/112",
            "::/0",
        ] {
            assert_eq!(subnet(given).to_string(), given);
        }
        for given in [
            "",
            "10.96.0.0",
            "10.96.0.0/33",
            "10.96.0.0/+1",
            "10.96.0/12",
            "fd00::/129",
            "x/8",
            "10.0.0.0/",
        ] {
            assert!(given.parse::<Subnet>().is_err(), "{given:?} was taken");
        }
        let error = "10.96.0.1/12".parse::<Subnet>().expect_err("an address");
        assert!(error.contains("10.96.0.0/12"), "{error}");
    }

    #[test]
    fn addresses_are_counted_within_the_subnet() {
        assert_eq!(subnet("10.96.0.0/12").nth(1), "10.96.0.1".parse().ok());
        assert_eq!(subnet("fd00:96::/112").nth(10), "fd00:96::a".parse().ok());
        assert_eq!(subnet("10.0.0.0/31").nth(2), None);
        assert_eq!(subnet("255.255.255.255/32").nth(1), None);
    }

    #[test]
    fn overlaps_are_seen_within_one_family() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.96.0.0/12")));
        assert!(subnet("10.96.0.0/12").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.96.0.0/12").overlaps(&subnet("10.244.0.0/16")));
        assert!(!subnet("0.0.0.0/0").overlaps(&subnet("::/0")));
    }
}
