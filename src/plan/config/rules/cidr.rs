//! Address ranges, ports and the URL that tells the caller's address.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::super::limits;
use super::{Checked, refuse, shown};

/// A range of callers; the whole internet only if written out.
pub(in super::super) fn source(text: &str) -> Checked<Ipv4Net> {
    match text {
        "auto" => refuse("\"auto\" stands in a list", "write it alone, without brackets"),
        "*" | "any" | "all" | "0.0.0.0" => {
            refuse(format!("{} is not an IPv4 range", shown(text)), "write 0.0.0.0/0 if everyone is meant")
        }
        _ => range(text, "203.0.113.0/24", true),
    }
}

/// The VPC's range.
pub(in super::super) fn vpc(text: &str) -> Checked<Ipv4Net> {
    private(text, "10.20.0.0/16", &limits::VPC_PREFIX)
}

/// The Pods' range.
pub(in super::super) fn pods(text: &str) -> Checked<Ipv4Net> {
    private(text, "10.244.0.0/16", &limits::POD_PREFIX)
}

/// The Services' range.
pub(in super::super) fn services(text: &str) -> Checked<Ipv4Net> {
    private(text, "10.96.0.0/16", &limits::SERVICE_PREFIX)
}

/// A TCP port of the workers that `access.services` may open.
pub(in super::super) fn service_port(number: i128) -> Checked<u16> {
    let port = match u16::try_from(number) {
        Ok(port) if port > 0 => port,
        _ => return refuse(format!("{number} is not a port"), "write one from 1 to 65535"),
    };
    let kept_for = match port {
        22 => "SSH, which access.ssh opens",
        2379 | 2380 => "etcd, which only masters reach",
        6443 => "the Kubernetes API, which access.api opens",
        6444 => "handing files from masters to nodes",
        10250 => "the agent, which only masters reach",
        30_000..=32_767 => "node ports, which access.services opens already",
        _ => return Ok(port),
    };
    refuse(format!("{port} is kept for {kept_for}"), "leave it out")
}

/// The https URL that answers with the caller's own address.
pub(in super::super) fn address_url(text: &str) -> Checked<String> {
    let Some(rest) = text.strip_prefix("https://") else {
        let why = if text.starts_with("http://") {
            "is not encrypted: anyone on the way could choose who gets in"
        } else {
            "is not an https URL"
        };
        return refuse(format!("{} {why}", shown(text)), format!("write one like {}", limits::ADDRESS_URL));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    if host.is_empty() || !host.chars().all(plain) || !printable || text.contains('#') {
        return refuse(
            format!("{} has no plain host after https://", shown(text)),
            format!("write one like {}", limits::ADDRESS_URL),
        );
    }
    Ok(text.to_owned())
}

fn private(text: &str, example: &str, prefixes: &RangeInclusive<u8>) -> Checked<Ipv4Net> {
    let net = range(text, example, false)?;
    if !prefixes.contains(&net.prefix_len()) {
        return refuse(
            format!("{} is a /{}", shown(text), net.prefix_len()),
            format!("write a range from /{} to /{}, such as {example}", prefixes.start(), prefixes.end()),
        );
    }
    if !PRIVATE.iter().any(|block| block.contains(&net)) {
        return refuse(
            format!("{} is not a private range", shown(text)),
            format!(
                "write one inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10, \
                 such as {example}"
            ),
        );
    }
    Ok(net)
}

/// RFC 1918's blocks and RFC 6598's shared one.
const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// An IPv4 range without host bits. Where single addresses make sense, remedies offer them.
fn range(text: &str, example: &str, single: bool) -> Checked<Ipv4Net> {
    let address = text.split('/').next().unwrap_or_default();
    if address.parse::<Ipv6Addr>().is_ok() {
        return refuse(
            format!("{} is IPv6, which is not built yet", shown(text)),
            format!("write an IPv4 range like {example}"),
        );
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        let remedy = if single {
            format!("write {text}/32 for this one address")
        } else {
            format!("write one, as in {example}")
        };
        return refuse(format!("{} has no prefix length", shown(text)), remedy);
    }
    let Ok(net) = text.parse::<Ipv4Net>() else {
        return refuse(format!("{} is not an IPv4 range", shown(text)), format!("write one like {example}"));
    };
    if net.addr() != net.network() {
        let mut remedy = format!("write {}", net.trunc());
        if single {
            remedy.push_str(&format!(", or {}/32 for this one address", net.addr()));
        }
        let problem = format!("{} has bits set after its first {}", shown(text), net.prefix_len());
        return refuse(problem, remedy);
    }
    Ok(net)
}
