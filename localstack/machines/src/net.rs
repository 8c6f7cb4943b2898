//! The wires: one router namespace, one cable to the host, one per machine.
//!
//! The router holds all that could get in the host's way: forwarding, filters and
//! the addresses 169.254.169.25x, which on a host that is itself on EC2 must go on
//! meaning what they mean there. The host gets one link and routes of single
//! addresses, marked by their protocol number. Nothing leads out of the router
//! but the way back to the host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use crate::command::{Error, run};
use crate::model::Instance;
use crate::names;

/// The router's and the host's hardware addresses on their common cable.
const ROUTER_MAC: &str = "02:57:00:00:00:02";
const HOST_MAC: &str = "02:57:00:00:00:01";

/// Where `ip` shows a namespace.
fn netns_path(name: &str) -> String {
    format!("/run/netns/{name}")
}

/// The router's namespace, for who has to open sockets in it.
pub(crate) fn router_path() -> String {
    netns_path(names::ROUTER)
}

/// Whether the router's namespace exists.
pub(crate) fn has_router() -> bool {
    std::path::Path::new(&router_path()).exists()
}

/// Makes the router, or completes what an earlier run left of it. Says whether it
/// is a new one, to which no machine's cable leads.
///
/// # Errors
/// When `ip` or `nft` refuse.
pub(crate) async fn ensure_router() -> Result<bool, Error> {
    let is_new = !has_router();
    if is_new {
        // The other end of what is left of an old one's cable.
        let _ = run(&["ip", "link", "del", names::HOST_LINK], "").await;
        run(&["ip", "netns", "add", names::ROUTER], "").await?;
    }
    if run(&["ip", "link", "show", names::HOST_LINK], "").await.is_err() {
        let line = format!(
            "link add {} mtu {mtu} address {HOST_MAC} type veth peer name {} mtu {mtu} address {ROUTER_MAC} netns {}\n",
            names::HOST_LINK,
            names::UPLINK,
            names::ROUTER,
            mtu = names::MTU,
        );
        run(&["ip", "-batch", "-"], &line).await?;
    }
    let settings = "net.ipv4.ip_forward=1\nnet.ipv4.conf.all.rp_filter=1\nnet.ipv4.conf.default.rp_filter=1\n\
        net.ipv4.conf.all.send_redirects=0\nnet.ipv4.conf.default.send_redirects=0\n\
        net.ipv6.conf.all.disable_ipv6=1\n";
    in_router(&["sysctl", "-q", "-p", "-"], settings).await?;
    let router = format!(
        "link set lo up\nlink set {up} up\n\
         addr replace {}/32 dev lo\naddr replace {}/32 dev lo\naddr replace {}/32 dev lo\n\
         addr replace {}/32 dev {up}\nroute replace unreachable default\n",
        names::METADATA,
        names::RESOLVER,
        names::MIRROR,
        names::ROUTER_ADDRESS,
        up = names::UPLINK,
    );
    run(&["ip", "-n", names::ROUTER, "-batch", "-"], &router).await?;
    let host = format!(
        "link set {link} up\nneigh replace {} lladdr {ROUTER_MAC} dev {link} nud permanent\n",
        names::ROUTER_ADDRESS,
        link = names::HOST_LINK,
    );
    run(&["ip", "-batch", "-"], &host).await?;
    ensure_way_out().await?;
    Ok(is_new)
}

/// A host without a default route could not even name a source address for a
/// machine that is still to come: it gets private ranges by way of the router.
async fn ensure_way_out() -> Result<(), Error> {
    if source_for(Ipv4Addr::new(10, 0, 0, 1)).is_some() {
        return Ok(());
    }
    let mut lines = format!("addr replace {}/32 dev {}\n", names::HOST_ADDRESS, names::HOST_LINK);
    for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] {
        lines.push_str(&host_route(range, names::HOST_ADDRESS));
    }
    run(&["ip", "-batch", "-"], &lines).await.map(|_| ())
}

/// The address this host would speak from to `address`: what the kernel says to
/// a UDP socket, no packet is sent.
pub(crate) fn source_for(address: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((address, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(source) => Some(source),
        IpAddr::V6(_) => None,
    }
}

fn host_route(destination: &str, source: Ipv4Addr) -> String {
    format!(
        "route replace {destination} via {} dev {} onlink src {source} proto {}\n",
        names::ROUTER_ADDRESS,
        names::HOST_LINK,
        names::ROUTE_PROTOCOL,
    )
}

/// The host's way to an instance's private address, from the source it would
/// have used before; it stays while the instance does, so that nothing for a
/// stopped machine leaves by the default route.
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn route_instance(address: Ipv4Addr) -> Result<(), Error> {
    let source = source_for(address).unwrap_or(names::HOST_ADDRESS);
    run(&["ip", "-batch", "-"], &host_route(&format!("{address}/32"), source)).await?;
    let back = format!(
        "route replace {source}/32 dev {up}\nneigh replace {source} lladdr {HOST_MAC} dev {up} nud permanent\n",
        up = names::UPLINK
    );
    run(&["ip", "-n", names::ROUTER, "-batch", "-"], &back).await.map(|_| ())
}

/// Makes an invented public address unreachable.
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn block(address: Ipv4Addr) -> Result<(), Error> {
    let destination = format!("{address}/32");
    run(&["ip", "route", "replace", "unreachable", &destination, "proto", names::ROUTE_PROTOCOL], "")
        .await
        .map(|_| ())
}

/// Takes back what [`block`] or [`route_instance`] did for an address.
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn forget(address: Ipv4Addr) -> Result<(), Error> {
    let destination = format!("{address}/32");
    run(&["ip", "route", "del", &destination, "proto", names::ROUTE_PROTOCOL], "").await.map(|_| ())
}

/// The single addresses the host has routes of ours for: (machines', blocked).
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn routed() -> Result<(BTreeSet<Ipv4Addr>, BTreeSet<Ipv4Addr>), Error> {
    let table =
        run(&["ip", "-4", "route", "show", "table", "main", "proto", names::ROUTE_PROTOCOL], "").await?;
    Ok(parse_routes(&table))
}

fn parse_routes(table: &str) -> (BTreeSet<Ipv4Addr>, BTreeSet<Ipv4Addr>) {
    let (mut machines, mut blocked) = (BTreeSet::new(), BTreeSet::new());
    for line in table.lines() {
        match line.strip_prefix("unreachable ") {
            Some(rest) => blocked.extend(first_address(rest)),
            None => machines.extend(first_address(line)),
        }
    }
    (machines, blocked)
}

fn first_address(text: &str) -> Option<Ipv4Addr> {
    text.split_whitespace().next()?.parse().ok()
}

/// A fresh namespace and cable for a machine. What an earlier boot left goes first.
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn plug(instance: &Instance) -> Result<(), Error> {
    unplug(&instance.id).await?;
    let (netns, cable) = (names::netns(&instance.id), names::cable(&instance.id));
    let gateway = names::gateway(instance.subnet_cidr);
    run(&["ip", "netns", "add", &netns], "").await?;
    let router = format!(
        "link add {cable} mtu {mtu} type veth peer name eth0 mtu {mtu} address {} netns {netns}\n\
         addr replace {gateway}/32 dev lo\nlink set {cable} up\n\
         route replace {}/32 dev {cable}\n",
        names::mac(instance.private_ip),
        instance.private_ip,
        mtu = names::MTU,
    );
    run(&["ip", "-n", names::ROUTER, "-batch", "-"], &router).await?;
    let settings = format!("net.ipv4.conf.{cable}.proxy_arp=1\nnet.ipv4.neigh.{cable}.proxy_delay=0\n");
    in_router(&["sysctl", "-q", "-p", "-"], &settings).await?;
    let machine = format!(
        "link set lo up\nlink set eth0 up\naddr add {}/{} brd + dev eth0\nroute add default via {gateway} dev eth0 onlink\n",
        instance.private_ip,
        instance.subnet_cidr.prefix_len(),
    );
    run(&["ip", "-n", &netns, "-batch", "-"], &machine).await.map(|_| ())
}

/// Whether a machine's namespace exists.
pub(crate) fn is_plugged(instance: &str) -> bool {
    std::path::Path::new(&netns_path(&names::netns(instance))).exists()
}

/// Removes a machine's namespace and, with it, its cable.
///
/// # Errors
/// When `ip` refuses.
pub(crate) async fn unplug(instance: &str) -> Result<(), Error> {
    // The cable first: it goes at once, while a namespace takes its own time to, and
    // the name is needed again.
    let cable = names::cable(instance);
    if run(&["ip", "-n", names::ROUTER, "link", "show", &cable], "").await.is_ok() {
        run(&["ip", "-n", names::ROUTER, "link", "del", &cable], "").await?;
    }
    if is_plugged(instance) {
        run(&["ip", "netns", "del", &names::netns(instance)], "").await?;
    }
    Ok(())
}

/// Replaces the router's filter.
///
/// # Errors
/// When `nft` refuses.
pub(crate) async fn filter(ruleset: &str) -> Result<(), Error> {
    in_router(&["nft", "-f", "-"], ruleset).await
}

async fn in_router(line: &[&str], input: &str) -> Result<(), Error> {
    let mut whole = vec!["ip", "netns", "exec", names::ROUTER];
    whole.extend_from_slice(line);
    run(&whole, input).await.map(|_| ())
}

/// Removes every namespace, link and route of ours; what is already gone is fine.
///
/// # Errors
/// When `ip` refuses to remove something that is there.
pub(crate) async fn remove_all() -> Result<(), Error> {
    if run(&["ip", "link", "show", names::HOST_LINK], "").await.is_ok() {
        run(&["ip", "link", "del", names::HOST_LINK], "").await?;
    }
    let listed = run(&["ip", "netns", "list"], "").await?;
    for name in listed.lines().filter_map(|l| l.split_whitespace().next()) {
        if name == names::ROUTER || name.starts_with(&format!("{}-", names::ROUTER)) {
            run(&["ip", "netns", "del", name], "").await?;
        }
    }
    run(&["ip", "-4", "route", "flush", "table", "main", "proto", names::ROUTE_PROTOCOL], "").await?;
    // `ip netns` made a mount of this folder; others may have namespaces in it.
    let folder = std::path::Path::new("/run/netns");
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = run(&["umount", "/run/netns"], "").await;
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_routes_are_told_apart_and_ranges_are_left_alone() {
        let (machines, blocked) = parse_routes(
            "unreachable 54.214.1.2 \n10.0.1.5 via 169.254.77.2 dev cluster-ls0 src 192.0.2.2 onlink \n\
             10.0.0.0/8 via 169.254.77.2 dev cluster-ls0 src 169.254.77.1 onlink \n",
        );
        assert_eq!(machines, BTreeSet::from([Ipv4Addr::new(10, 0, 1, 5)]));
        assert_eq!(blocked, BTreeSet::from([Ipv4Addr::new(54, 214, 1, 2)]));
    }
}
