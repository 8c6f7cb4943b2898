//! Names of the cluster: what each stands for (upstream's DNS-based service discovery).

use std::net::Ipv4Addr;

use crate::endpoints::{Endpoint, Service, Services};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Addresses.
    Addresses(Vec<Ipv4Addr>),
    /// Ports of hosts: port and host, for SRV.
    Ports(Vec<(u16, String)>),
    /// Another name.
    Alias(String),
    /// A name for an address.
    Pointer(String),
    /// It is one of ours, without what was asked for.
    Nothing,
    /// It is one of ours and is not there.
    Missing,
    /// It is not ours: somebody else knows.
    Elsewhere,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// Ports.
    Srv,
    /// A name for an address.
    Ptr,
    /// Anything else: names are there, what is asked is not.
    Other,
}

/// Answers a name, lower case, without a final dot.
#[must_use]
pub fn answer(services: &Services, domain: &str, name: &str, kind: Kind) -> Answer {
    if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
        return pointer(services, domain, reversed, kind);
    }
    let Some(below) =
        name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.').or(rest.is_empty().then_some("")))
    else {
        return Answer::Elsewhere;
    };
    let labels: Vec<&str> = below.split('.').filter(|label| !label.is_empty()).rev().collect();
    match labels[..] {
        ["svc", namespace, service] => of_service(services, domain, (namespace, service), kind),
        ["svc", namespace, service, host] => of_host(services, (namespace, service), host, kind),
        ["svc", namespace, service, protocol, port] if port.starts_with('_') && protocol.starts_with('_') => {
            of_port(services, domain, (namespace, service), (&port[1..], &protocol[1..]), kind)
        }
        ["pod", _, dashed] => match (dashed.replace('-', ".").parse(), kind) {
            (Ok(address), Kind::A) => Answer::Addresses(vec![address]),
            (Ok(_), _) => Answer::Nothing,
            _ => Answer::Missing,
        },
        // Names on the way to others are there, with nothing of their own.
        [] | ["svc"] | ["pod"] => Answer::Nothing,
        ["svc", namespace] if services.services.keys().any(|(one, _)| one == namespace) => Answer::Nothing,
        _ => Answer::Missing,
    }
}

fn find<'a>(services: &'a Services, (namespace, name): (&str, &str)) -> Option<&'a Service> {
    services.services.get(&(namespace.to_owned(), name.to_owned()))
}

fn told(services: &Services, (namespace, name): (&str, &str), service: &Service) -> Vec<Endpoint> {
    let all = services.endpoints(&(namespace.to_owned(), name.to_owned()));
    all.into_iter().filter(|one| one.ready || service.publishes_unready).collect()
}

fn of_service(services: &Services, domain: &str, key: (&str, &str), kind: Kind) -> Answer {
    let Some(service) = find(services, key) else { return Answer::Missing };
    if let Some(other) = &service.external_name {
        return Answer::Alias(other.trim_end_matches('.').to_lowercase());
    }
    match kind {
        Kind::A if service.headless => addresses(told(services, key, service)),
        Kind::A => Answer::Addresses(service.cluster_ips.clone()),
        Kind::Srv => {
            let ports: Vec<_> = service
                .ports
                .iter()
                .flat_map(|port| hosts(services, domain, key, service, &port.name))
                .collect();
            if ports.is_empty() { Answer::Nothing } else { Answer::Ports(ports) }
        }
        _ => Answer::Nothing,
    }
}

fn addresses(endpoints: Vec<Endpoint>) -> Answer {
    let mut all: Vec<Ipv4Addr> = endpoints.into_iter().map(|one| one.address).collect();
    all.dedup();
    if all.is_empty() { Answer::Missing } else { Answer::Addresses(all) }
}

/// The name of an endpoint below its headless Service.
fn host(endpoint: &Endpoint) -> String {
    endpoint.hostname.clone().unwrap_or_else(|| endpoint.address.to_string().replace('.', "-"))
}

fn of_host(services: &Services, key: (&str, &str), name: &str, kind: Kind) -> Answer {
    let Some(service) = find(services, key).filter(|service| service.headless) else {
        return Answer::Missing;
    };
    let found: Vec<_> = told(services, key, service).into_iter().filter(|one| host(one) == name).collect();
    match (found.is_empty(), kind) {
        (true, _) => Answer::Missing,
        (false, Kind::A) => addresses(found),
        _ => Answer::Nothing,
    }
}

fn hosts(
    services: &Services,
    domain: &str,
    key: (&str, &str),
    service: &Service,
    port: &str,
) -> Vec<(u16, String)> {
    let (namespace, name) = key;
    let full = format!("{name}.{namespace}.svc.{domain}");
    if !service.headless {
        let found = service.ports.iter().find(|one| one.name == port);
        return found.map(|one| (one.number, full)).into_iter().collect();
    }
    let all = told(services, key, service).into_iter();
    all.filter_map(|one| Some((*one.ports.get(port)?, format!("{}.{full}", host(&one))))).collect()
}

fn of_port(
    services: &Services,
    domain: &str,
    key: (&str, &str),
    (port, protocol): (&str, &str),
    kind: Kind,
) -> Answer {
    let Some(service) = find(services, key) else { return Answer::Missing };
    let known = service.ports.iter().any(|one| one.name == port && one.protocol == protocol);
    let ports = if known { hosts(services, domain, key, service, port) } else { Vec::new() };
    match (ports.is_empty(), kind) {
        (true, _) => Answer::Missing,
        (false, Kind::Srv) => Answer::Ports(ports),
        _ => Answer::Nothing,
    }
}

fn pointer(services: &Services, domain: &str, reversed: &str, kind: Kind) -> Answer {
    let mut parts: Vec<&str> = reversed.split('.').collect();
    parts.reverse();
    let Ok(address) = parts.join(".").parse::<Ipv4Addr>() else { return Answer::Elsewhere };
    for ((namespace, name), service) in &services.services {
        let full = format!("{name}.{namespace}.svc.{domain}");
        let found = if service.cluster_ips.contains(&address) {
            Some(full)
        } else if service.headless {
            let ours = services.endpoints(&(namespace.clone(), name.clone()));
            ours.iter().find(|one| one.address == address).map(|one| format!("{}.{full}", host(one)))
        } else {
            None
        };
        if let Some(found) = found {
            return if kind == Kind::Ptr { Answer::Pointer(found) } else { Answer::Nothing };
        }
    }
    Answer::Elsewhere
}
