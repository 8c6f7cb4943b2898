//! Names inside the machines' network: a query and a table -> an answer.
//!
//! Knows the private names of instances and their reverse, says of every other
//! name of the VPC that it does not exist, and refuses the rest at once: there is
//! no way out, and a resolver that keeps silent would cost each boot 30 seconds.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Seconds an answer may be kept.
const TTL_S: u32 = 5;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;

/// The answer to `query`, or `None` for what is not a question in DNS's form.
/// `names` are full private names (lower case, no final dot) and their addresses.
pub(crate) fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let is_response = query.get(2)? & 0x80 != 0;
    let questions = u16::from_be_bytes([*query.get(4)?, *query.get(5)?]);
    if is_response || questions != 1 {
        return None;
    }
    let (name, end) = read_name(query)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let question = query.get(12..end + 4)?;
    let found = look_up(&name, kind, names);
    let (code, data) = match &found {
        Found::Data(data) => (0, Some(data)),
        Found::NoData => (0, None),
        Found::NoName => (NAME_ERROR, None),
        Found::NotOurs => (REFUSED, None),
    };
    let mut reply = Vec::with_capacity(question.len() + 64);
    reply.extend_from_slice(query.get(0..2)?);
    // A response, recursion desired as asked, recursion available.
    reply.extend_from_slice(&[0x80 | (query.get(2)? & 0x01), 0x80 | code]);
    reply.extend_from_slice(&[0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    reply.extend_from_slice(question);
    if let Some(data) = data {
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1]);
        reply.extend_from_slice(&TTL_S.to_be_bytes());
        reply.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(data);
    }
    Some(reply)
}

enum Found {
    Data(Vec<u8>),
    NoData,
    NoName,
    NotOurs,
}

fn look_up(name: &str, kind: u16, names: &BTreeMap<String, Ipv4Addr>) -> Found {
    if let Some(address) = names.get(name) {
        return if kind == TYPE_A { Found::Data(address.octets().to_vec()) } else { Found::NoData };
    }
    if let Some(address) = reversed(name) {
        let Some((host, _)) = names.iter().find(|(_, a)| **a == address) else { return Found::NoName };
        return if kind == TYPE_PTR { Found::Data(write_name(host)) } else { Found::NoData };
    }
    // Names without a dot, and the VPC's own domains, are this resolver's to deny.
    if !name.contains('.') || name.ends_with(".internal") { Found::NoName } else { Found::NotOurs }
}

/// The address in `5.1.0.10.in-addr.arpa`.
fn reversed(name: &str) -> Option<Ipv4Addr> {
    let digits: Vec<&str> = name.strip_suffix(".in-addr.arpa")?.split('.').collect();
    let forward: Vec<&str> = digits.into_iter().rev().collect();
    forward.join(".").parse().ok()
}

/// The question's name in lower case and where its type starts.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        // Questions are not compressed; a name has at most 127 labels.
        if length > 63 || labels.len() > 127 {
            return None;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(63).min(63));
        bytes.extend(label.bytes().take(63));
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16) -> Option<(u8, Vec<u8>)> {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(write_name(name));
        query.extend(kind.to_be_bytes());
        query.extend([0, 1]);
        let names = BTreeMap::from([("ip-10-0-1-5.ec2.internal".to_owned(), Ipv4Addr::new(10, 0, 1, 5))]);
        let reply = answer(&query, &names)?;
        assert_eq!(reply[..2], [0xab, 0xcd]);
        let data = if reply[7] == 1 { reply[query.len() + 12..].to_vec() } else { Vec::new() };
        Some((reply[3] & 0x0f, data))
    }

    #[test]
    fn private_names_resolve_both_ways_and_everything_else_fails_at_once() {
        assert_eq!(ask("IP-10-0-1-5.ec2.internal", TYPE_A), Some((0, vec![10, 0, 1, 5])));
        assert_eq!(ask("ip-10-0-1-5.ec2.internal", 28), Some((0, Vec::new())));
        assert_eq!(ask("5.1.0.10.in-addr.arpa", TYPE_PTR), Some((0, write_name("ip-10-0-1-5.ec2.internal"))));
        assert_eq!(ask("6.1.0.10.in-addr.arpa", TYPE_PTR), Some((NAME_ERROR, Vec::new())));
        assert_eq!(ask("instance-data.ec2.internal", TYPE_A), Some((NAME_ERROR, Vec::new())));
        assert_eq!(ask("instance-data", TYPE_A), Some((NAME_ERROR, Vec::new())));
        assert_eq!(ask("mirror.example.org", TYPE_A), Some((REFUSED, Vec::new())));
    }

    #[test]
    fn a_torn_or_hostile_packet_gets_no_answer() {
        let names = BTreeMap::new();
        for packet in [&[][..], &[0; 11], &[0; 12], &[0xff; 40]] {
            assert_eq!(answer(packet, &names), None);
        }
    }
}
