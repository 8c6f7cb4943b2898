//! Names and addresses derived from an instance: the same on every run, so that
//! a restarted daemon, and `machines clean` without any state, find what there is.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The namespace all machines' cables end in, and the prefix of theirs.
pub(crate) const ROUTER: &str = "cluster-ls";
/// The host's end of its cable into the router.
pub(crate) const HOST_LINK: &str = "cluster-ls0";
/// The router's end of it.
pub(crate) const UPLINK: &str = "up0";
/// The folder below each cgroup hierarchy that holds everything started here.
pub(crate) const CGROUP: &str = "cluster-localstack";
/// The routing protocol number that marks our routes in the host's table.
pub(crate) const ROUTE_PROTOCOL: &str = "213";
/// The router as the host's routes name it.
pub(crate) const ROUTER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 2);
/// The host as the router sees it where the host has no address of its own to use.
pub(crate) const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
/// Instance metadata, as on AWS.
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The resolver, as on AWS.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The apt mirror.
pub(crate) const MIRROR: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 252);
/// The apt mirror's port; `localstack/images` writes it into sources.list.
pub(crate) const MIRROR_PORT: u16 = 3142;
/// AWS's packet size within a VPC.
pub(crate) const MTU: u32 = 9001;

/// The machine's network namespace.
pub(crate) fn netns(instance: &str) -> String {
    format!("{ROUTER}-{instance}")
}

/// The router's end of the machine's cable: at most 15 bytes, so the id's tail.
pub(crate) fn cable(instance: &str) -> String {
    let tail: String = instance.chars().rev().take(13).collect();
    format!("m{}", tail.chars().rev().collect::<String>())
}

/// The machine's hardware address: LocalStack's are not well-formed.
pub(crate) fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:57:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The first address of a subnet, which AWS's router has.
pub(crate) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).wrapping_add(1))
}

/// The private name AWS gives: `ip-10-0-1-5`, without a domain.
pub(crate) fn short_hostname(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}")
}

/// The domain AWS puts private names in.
pub(crate) fn domain(region: &str) -> String {
    if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") }
}

/// The full private name.
pub(crate) fn hostname(address: Ipv4Addr, region: &str) -> String {
    format!("{}.{}", short_hostname(address), domain(region))
}

/// A machine id in systemd's sense, from the instance's: 32 hexadecimal digits.
pub(crate) fn machine_uuid(instance: &str) -> String {
    let digits: String = instance.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    format!("{digits:0>32}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_follow_aws() {
        let address = Ipv4Addr::new(10, 0, 1, 5);
        assert_eq!(cable("i-0123456789abcdef0"), "m456789abcdef0");
        assert!(cable("i-0123456789abcdef0").len() <= 15);
        assert_eq!(hostname(address, "us-east-1"), "ip-10-0-1-5.ec2.internal");
        assert_eq!(hostname(address, "eu-central-1"), "ip-10-0-1-5.eu-central-1.compute.internal");
        assert_eq!(mac(address), "02:57:0a:00:01:05");
        assert_eq!(gateway("10.0.1.0/24".parse().unwrap()), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(machine_uuid("i-0123456789abcdef0"), "0000000000000000123456789abcdef0");
    }
}
