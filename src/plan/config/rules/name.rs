//! Names: the cluster's, a worker group's, and those the API's certificate carries.

use std::net::IpAddr;

use super::super::{MASTER_GROUP, limits};
use super::{Checked, refuse, shown};

/// A cluster's name: it starts AWS names and DNS labels.
pub(in super::super) fn cluster(text: &str) -> Checked<String> {
    dns_label(text, limits::MAX_NAME, "my-app")
}

/// A worker group's name. It must not end in `-NUMBER`: with groups `a` and `a-1`, slot `a-1-0`
/// would be told apart from neither.
pub(in super::super) fn group(text: &str) -> Checked<String> {
    let name = dns_label(text, limits::MAX_GROUP_NAME, "general")?;
    if name == MASTER_GROUP {
        return refuse(format!("{} is the group of the masters", shown(&name)), "choose another name");
    }
    let counted = name.rsplit_once('-').is_some_and(|(_, last)| digits(last));
    if counted {
        return refuse(
            format!("{} ends in a number, as machines do ({name}-0)", shown(&name)),
            format!("write {}", name.replace('-', "")),
        );
    }
    Ok(name)
}

/// A name or address for the API's certificate.
pub(in super::super) fn api_name(text: &str) -> Checked<String> {
    let lower = text.to_ascii_lowercase();
    if lower.parse::<IpAddr>().is_ok() {
        return Ok(lower);
    }
    if let Some((_, rest)) = lower.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return refuse(format!("{} is a URL", shown(text)), format!("write only its host: {host}"));
    }
    if lower.contains('*') {
        return refuse(format!("{} is a wildcard", shown(text)), "write each name out");
    }
    if lower.len() > 253 || !lower.split('.').all(is_dns_label) || all_numeric(&lower) {
        return refuse(
            format!("{} is neither a DNS name nor an IP address", shown(text)),
            "write one like api.example.com or 203.0.113.7",
        );
    }
    if lower != text {
        return refuse(format!("{} has capital letters", shown(text)), format!("write {lower}"));
    }
    Ok(lower)
}

/// Makes a cluster name of a folder's name.
///
/// # Errors
/// Nothing of the folder's name can be used; the message says how to give one.
pub fn name_from_folder(folder: &str) -> Result<String, String> {
    let lowered: String = folder
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
            _ => '-',
        })
        .collect();
    let words: Vec<&str> = lowered.split('-').filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let from_letter = joined.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let cut: String = from_letter.chars().take(limits::MAX_NAME).collect();
    let name = cut.trim_end_matches('-');
    if name.is_empty() {
        return Err(format!(
            "the folder's name {} has no letter from a to z to make a cluster's name of; \
             give one: cluster init NAME",
            shown(folder)
        ));
    }
    Ok(name.to_owned())
}

/// A lower-case DNS label that starts with a letter.
fn dns_label(text: &str, most: usize, example: &str) -> Checked<String> {
    if text.len() > most {
        return refuse(
            format!("{} has {} characters", shown(text), text.chars().count()),
            format!("write at most {most}"),
        );
    }
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && is_dns_label(text) {
        return Ok(text.to_owned());
    }
    let problem = format!("{} is not a name", shown(text));
    match name_from_folder(text) {
        Ok(close) if close.len() <= most && close != text => refuse(problem, format!("{SYNTAX} {close}")),
        _ => refuse(problem, format!("{SYNTAX} {example}")),
    }
}

const SYNTAX: &str = "write small letters, digits and inner hyphens, a letter first, such as";

/// RFC 1123's label, lower case.
pub(in super::super) fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(inner)
        && text.ends_with(inner)
        && text.chars().all(|c| inner(c) || c == '-')
}

fn all_numeric(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}
