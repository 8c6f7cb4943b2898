//! Formats of strings that upstream checks; others are accepted.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::value::{base64, duration, time::Instant};

/// Whether a text is of a format.
pub(super) fn is_of(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => Instant::parse(text).is_ok(),
        "date" => text.len() == 10 && Instant::parse(&format!("{text}T00:00:00Z")).is_ok(),
        "duration" => duration::parse(text).is_ok(),
        "byte" => base64::decode(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "uri" => {
            text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
                || text.starts_with('/')
        }
        "uuid" => is_uuid(text),
        "email" => text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && is_hostname(host)),
        "hostname" => is_hostname(text),
        "mac" => text.len() == 17 && text.split([':', '-']).all(|part| part.len() == 2 && is_hex(part)),
        _ => true,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<u8>() else { return false };
    address.parse::<Ipv4Addr>().is_ok() && bits <= 32 || address.parse::<Ipv6Addr>().is_ok() && bits <= 128
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_uuid(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && is_hex(&plain)
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && text.split('.').all(label)
}
