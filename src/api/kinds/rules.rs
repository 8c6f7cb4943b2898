//! Small rules that many kinds share.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::field_error::{At, Errors};
use crate::names;
use crate::quantity::Quantity;

/// Must be given.
pub fn required(at: &At<'_>, e: &mut Errors) -> bool {
    if at.is_empty() {
        e.required(&at.path, "");
    }
    !at.is_empty()
}

/// Text that must be given and obey a rule of [`crate::names`].
pub fn named(at: &At<'_>, rule: fn(&str) -> Vec<String>, e: &mut Errors) {
    if required(at, e) {
        e.invalid_each(at, rule(at.str()));
    }
}

/// Text that must obey a rule where it is given.
pub fn named_if_set(at: &At<'_>, rule: fn(&str) -> Vec<String>, e: &mut Errors) {
    if !at.is_empty() {
        e.invalid_each(at, rule(at.str()));
    }
}

/// Text that must be given and be one of these.
pub fn known(at: &At<'_>, values: &[&str], e: &mut Errors) {
    if required(at, e) {
        e.one_of(at, values);
    }
}

/// Text that must be one of these where it is given.
pub fn known_if_set(at: &At<'_>, values: &[&str], e: &mut Errors) {
    if at.is_set() {
        e.one_of(at, values);
    }
}

/// A number above zero.
pub fn positive(at: &At<'_>, e: &mut Errors) {
    if at.int() <= 0 {
        e.invalid_as(&at.path, at.int(), "must be greater than zero");
    }
}

/// A number not below zero.
pub fn not_negative(at: &At<'_>, e: &mut Errors) {
    super::metadata::not_negative(at, e);
}

/// A number within bounds, where it is given.
pub fn between(at: &At<'_>, low: i64, high: i64, e: &mut Errors) {
    if at.opt_int().is_some_and(|n| n < low || n > high) {
        e.invalid(at, names::range_says(low, high));
    }
}

/// A port's number.
pub fn port(at: &At<'_>, e: &mut Errors) {
    if !(1..=65535).contains(&at.int()) {
        e.invalid_as(&at.path, at.int(), names::range_says(1, 65535));
    }
}

/// A port's number or name.
pub fn port_or_name(at: &At<'_>, e: &mut Errors) {
    match at.value {
        Some(Value::String(name)) => e.invalid_each(at, names::port_name(name)),
        _ => port(at, e),
    }
}

/// A user's or group's number, where it is given.
pub fn user(at: &At<'_>, e: &mut Errors) {
    between(at, 0, i64::from(i32::MAX), e);
}

/// A file's mode, where it is given.
pub fn mode(at: &At<'_>, e: &mut Errors) {
    if at.opt_int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        e.invalid(at, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// A quantity not below zero.
pub fn quantity_not_negative(at: &At<'_>, e: &mut Errors) {
    if quantity(at).is_negative() {
        e.invalid(at, "must be greater than or equal to 0");
    }
}

/// The quantity here, or zero.
#[must_use]
pub fn quantity(at: &At<'_>) -> Quantity {
    at.value.and_then(Quantity::of).unwrap_or_default()
}

/// An address as older fields take it: not necessarily in canonical form, but without
/// leading zeros and not IPv4 within IPv6.
pub fn address(at: &At<'_>, e: &mut Errors) -> Option<IpAddr> {
    match at.str().parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            e.invalid_as(&at.path, at.str(), "must not be an IPv4-mapped IPv6 address");
            Some(IpAddr::V6(v6))
        }
        Ok(address) => Some(address),
        Err(_) => {
            let found = without_leading_zeros(at.str());
            let says = if found.is_some() {
                "must not have leading 0s"
            } else {
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            };
            e.invalid_as(&at.path, at.str(), says);
            found.map(IpAddr::V4)
        }
    }
}

fn without_leading_zeros(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let parts: Vec<&str> = text.split('.').collect();
    for (octet, part) in octets.iter_mut().zip(&parts) {
        if part.is_empty() || !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *octet = part
            .trim_start_matches('0')
            .parse()
            .or(if part.trim_start_matches('0').is_empty() { Ok(0) } else { Err(()) })
            .ok()?;
    }
    (parts.len() == 4).then(|| octets.into())
}

/// A network's address, which may be any in it, and the length of its prefix.
#[must_use]
pub fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.parse().ok().filter(|length| *length <= most)?;
    Some((address, length))
}

/// A network as older fields take it.
pub fn network(at: &At<'_>, e: &mut Errors) {
    if parse_network(at.str()).is_none() {
        e.invalid_as(&at.path, at.str(), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

/// A path that stays below where it starts.
pub fn relative_path(at: &At<'_>, e: &mut Errors) {
    if at.str().starts_with('/') {
        e.invalid_as(&at.path, at.str(), "must be a relative path");
    }
    no_backsteps(at, e);
}

/// A path without `..`.
pub fn no_backsteps(at: &At<'_>, e: &mut Errors) {
    if at.str().split('/').any(|part| part == "..") {
        e.invalid_as(&at.path, at.str(), "must not contain '..'");
    }
}

/// A relative path whose first part does not look like the volume's own.
pub fn relative_not_reserved(at: &At<'_>, e: &mut Errors) {
    relative_path(at, e);
    if at.str().starts_with("..") && !at.str().starts_with("../") {
        e.invalid_as(&at.path, at.str(), "must not start with '..'");
    }
}

/// Whether a LabelSelector (`matchLabels` and `matchExpressions`) or a map of labels is
/// without any requirement.
#[must_use]
pub fn selects_all(at: &At<'_>) -> bool {
    at.get("matchLabels").is_empty() && at.get("matchExpressions").is_empty()
}

/// Whether a LabelSelector that is valid matches labels.
#[must_use]
pub fn selects(selector: &At<'_>, labels: &At<'_>) -> bool {
    let label = |key: &str| labels.value.and_then(|l| l.get(key)).and_then(Value::as_str);
    let all = selector.get("matchLabels");
    all.entries().iter().all(|(key, value)| label(key) == Some(value.str()))
        && selector.get("matchExpressions").items().all(|requirement| {
            let found = label(requirement.get("key").str());
            let listed = found.is_some_and(|found| requirement.get("values").items().any(|v| v.is(found)));
            match requirement.get("operator").str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                _ => found.is_none(),
            }
        })
}

/// A number or a percentage that is not below zero.
pub fn not_negative_or_percent(at: &At<'_>, e: &mut Errors) {
    match at.value {
        Some(Value::String(text)) => e.invalid_each(at, names::percent(text)),
        _ => not_negative(at, e),
    }
}

/// The number of a percentage.
#[must_use]
pub fn percent(at: &At<'_>) -> Option<i64> {
    let text = at.value?.as_str()?;
    names::percent(text).is_empty().then(|| text.trim_end_matches('%').parse().ok())?
}
