//! Which addresses are dialled, and who the caller is to the machines.
//!
//! `auto` never widens: an address that cannot be found out is an error that
//! names the field to write it into.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, bail};
use ipnet::Ipv4Net;
use plan::config::{Config, OrAuto, Via};

/// Who may reach what, `auto` resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// Whether machines are dialled by public addresses.
    pub(crate) public: bool,
    /// Who may use SSH.
    pub(crate) ssh: Vec<Ipv4Net>,
    /// Who may use the API.
    pub(crate) api: Vec<Ipv4Net>,
    /// Who may use services.
    pub(crate) services: Vec<Ipv4Net>,
}

/// Resolves `access` for an endpoint.
pub(crate) async fn resolve(config: &Config, endpoint: Option<&str>) -> anyhow::Result<Access> {
    let public = dials_public(config, endpoint)?;
    let access = &config.access;
    let automatic: Vec<&str> = [("ssh", &access.ssh), ("api", &access.api), ("services", &access.services)]
        .into_iter()
        .filter(|(_, value)| value.is_auto())
        .map(|(field, _)| field)
        .collect();
    let own = match automatic.first() {
        None => Vec::new(),
        Some(field) => vec![own_address(config, public).await.with_context(|| {
            format!(
                "access.{field} is auto; write the CIDRs that may connect into access.{}",
                automatic.join(", access.")
            )
        })?],
    };
    let given = |value: &OrAuto<Vec<Ipv4Net>>| value.given().cloned().unwrap_or_else(|| own.clone());
    Ok(Access { public, ssh: given(&access.ssh), api: given(&access.api), services: given(&access.services) })
}

/// Whether machines are dialled by their public addresses.
pub(crate) fn dials_public(config: &Config, endpoint: Option<&str>) -> anyhow::Result<bool> {
    let local = endpoint.is_some_and(is_local);
    match config.access.via {
        Via::Private => Ok(false),
        Via::Public if local => bail!(
            "access.via: public is refused with the endpoint {}: the public addresses it tells belong to strangers; write `via: private` or leave it `auto`",
            endpoint.unwrap_or_default()
        ),
        Via::Public => Ok(true),
        Via::Auto => Ok(!local),
    }
}

async fn own_address(config: &Config, public: bool) -> anyhow::Result<Ipv4Net> {
    let address = if public {
        cloud::own_address(&config.access.address_url).await.with_context(|| {
            format!(
                "access.addressUrl: {} did not tell this machine's address{}",
                config.access.address_url,
                beside_proxy(|name| std::env::var(name).ok())
            )
        })?
    } else {
        local_address(config.network.cidr).with_context(|| {
            format!("no local address of this machine has a route to {}", config.network.cidr)
        })?
    };
    Ok(Ipv4Net::from(address))
}

/// Says that a configured proxy was passed by: through it the proxy's own address would be told, and
/// SSH, which does not go through it, would be let in for the proxy and not for this machine.
fn beside_proxy(variable: impl Fn(&str) -> Option<String>) -> String {
    let mut names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter();
    let set = names.find(|name| variable(name).is_some_and(|value| !value.is_empty()));
    set.map_or_else(String::new, |name| {
        format!(" (asked directly and not through {name}, which would tell the proxy's address)")
    })
}

/// The local address from which the VPC would be reached. Sends nothing: a
/// connected UDP socket only asks the routing table.
fn local_address(vpc: Ipv4Net) -> anyhow::Result<Ipv4Addr> {
    let target = vpc.hosts().next().unwrap_or_else(|| vpc.network());
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    socket.connect(SocketAddr::from((target, 9)))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() && !address.is_loopback() => Ok(address),
        other => bail!("the route leads through {other}"),
    }
}

/// Whether an endpoint URL names a loopback or private host.
fn is_local(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost" || host.ends_with(".localhost") || !host.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_was_passed_by_is_named() {
        let set = |name: &str| (name == "https_proxy").then(|| "http://proxy:3128".to_owned());
        assert!(beside_proxy(set).contains("not through https_proxy"));
        assert_eq!(beside_proxy(|_| None), "");
        assert_eq!(beside_proxy(|_| Some(String::new())), "");
    }

    #[test]
    fn loopback_and_private_endpoints_are_local_and_aws_is_not() {
        for local in [
            "http://127.0.0.1:4566",
            "http://localhost:4566/",
            "http://[::1]:4566",
            "http://10.1.2.3",
            "http://localstack:4566",
        ] {
            assert!(is_local(local), "{local}");
        }
        for public in ["https://ec2.us-east-1.amazonaws.com", "https://203.0.113.9:443"] {
            assert!(!is_local(public), "{public}");
        }
    }
}
