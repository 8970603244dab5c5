//! All address tests of a field at once: networks cut the address space into intervals, each with the tests that hold in it.
//!
//! IPv4 addresses are numbered as IPv4-mapped IPv6, because both forms are the same address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::policy::Test;

/// The intervals, ascending: the first address of each and the tests that hold in it.
#[derive(Debug, Default)]
pub(super) struct AddressMatcher {
    starts: Vec<u128>,
    leaves: Vec<Vec<u32>>,
}

/// The first and the last address of the IPv4 space.
const V4_FIRST: u128 = 0xffff_0000_0000;
const V4_LAST: u128 = 0xffff_ffff_ffff;

/// An address as a number.
pub(super) fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The intervals of a network. An IPv6 network contains no IPv4 address, unless it is within the mapped ones.
fn intervals_of(net: &IpNet) -> Vec<(u128, u128)> {
    match net {
        IpNet::V4(net) => vec![(mapped(net.network()), mapped(net.broadcast()))],
        IpNet::V6(net) => {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            let is_mapped = first >= V4_FIRST && last <= V4_LAST;
            if is_mapped || last < V4_FIRST || first > V4_LAST {
                return vec![(first, last)];
            }
            let around = [(first, V4_FIRST - 1), (V4_LAST + 1, last)];
            around.into_iter().filter(|(first, last)| first <= last).collect()
        }
    }
}

fn mapped(address: Ipv4Addr) -> u128 {
    u128::from(address.to_ipv6_mapped())
}

/// Whether a network contains an address: for one device at a time.
pub(super) fn is_within(net: &IpNet, address: IpAddr) -> bool {
    match (net, address) {
        (IpNet::V4(net), IpAddr::V4(address)) => net.contains(&address),
        (IpNet::V6(net), IpAddr::V6(address)) => net.contains(&address),
        (IpNet::V6(net), IpAddr::V4(address)) => {
            net.prefix_len() >= 96 && net.contains::<&Ipv6Addr>(&address.to_ipv6_mapped())
        }
        (IpNet::V4(_), IpAddr::V6(_)) => false,
    }
}

impl AddressMatcher {
    /// Compiles tests, each with its number.
    pub(super) fn new<'p>(tests: impl Iterator<Item = (u32, &'p Test)>) -> AddressMatcher {
        let mut changes: BTreeMap<u128, Vec<(u32, bool)>> = BTreeMap::new();
        for (leaf, test) in tests {
            let intervals: Vec<(u128, u128)> = match test {
                Test::Address(addresses) => {
                    addresses.iter().map(|address| (number_of(*address), number_of(*address))).collect()
                }
                Test::Cidr(nets) => nets.iter().flat_map(intervals_of).collect(),
                _ => continue,
            };
            for (first, last) in intervals {
                changes.entry(first).or_default().push((leaf, true));
                if let Some(after) = last.checked_add(1) {
                    changes.entry(after).or_default().push((leaf, false));
                }
            }
        }
        let mut matcher = AddressMatcher::default();
        let mut open: BTreeMap<u32, u32> = BTreeMap::new();
        for (start, changes) in changes {
            for (leaf, _) in changes.iter().filter(|(_, opens)| *opens) {
                *open.entry(*leaf).or_default() += 1;
            }
            for (leaf, _) in changes.iter().filter(|(_, opens)| !*opens) {
                if let Some(count) = open.get_mut(leaf) {
                    *count -= 1;
                }
            }
            open.retain(|_, count| *count > 0);
            matcher.starts.push(start);
            matcher.leaves.push(open.keys().copied().collect());
        }
        matcher
    }

    /// The tests that hold for an address.
    pub(super) fn find(&self, address: IpAddr) -> &[u32] {
        let place = self.starts.partition_point(|start| *start <= number_of(address));
        place.checked_sub(1).map_or(&[], |place| &self.leaves[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_and_networks_agree() {
        let nets = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "0.0.0.0/0",
            "::/0",
            "::ffff:10.0.0.0/104",
            "::ffff:0:0/95",
            "::ffff:0:0/96",
            "fe80::/10",
            "::/64",
            "10.1.2.3/32",
        ];
        let tests: Vec<Test> = nets.iter().map(|net| Test::Cidr(vec![net.parse().unwrap()])).collect();
        let matcher = AddressMatcher::new(tests.iter().enumerate().map(|(index, test)| (index as u32, test)));
        for text in [
            "10.1.2.3",
            "10.1.2.4",
            "10.2.0.0",
            "11.0.0.0",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "ffff::",
            "0.0.0.0",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let expected: Vec<u32> = (0u32..nets.len() as u32)
                .filter(|index| is_within(&nets[*index as usize].parse().unwrap(), address))
                .collect();
            assert_eq!(matcher.find(address), expected, "{text}");
        }
        assert!(!is_within(&"::/0".parse().unwrap(), "10.0.0.1".parse().unwrap()));
    }
}
