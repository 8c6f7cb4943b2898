//! The names of the fields, mapping by mapping, and what a wrong name probably meant.
//!
//! A test holds this table against the JSON Schema.

use super::super::diagnostic::Mistake;
use super::super::tree::quoted;

/// The fields of each mapping, by its path with list positions left out.
pub(in super::super) const FIELDS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "version",
            "name",
            "region",
            "access",
            "network",
            "image",
            "masters",
            "workers",
            "iamInstanceProfile",
            "extraApiNames",
        ],
    ),
    ("access", &["via", "addressUrl", "ssh", "api", "services", "servicePorts"]),
    ("network", &["cidr", "zones", "podCidr", "serviceCidr"]),
    ("image", &["id", "owner", "name", "architecture", "user"]),
    ("masters", &["count", "type", "zones", "volume"]),
    ("masters.volume", &["sizeGiB"]),
    ("workers[]", &["name", "count", "type", "zones", "labels", "taints", "volume"]),
    ("workers[].taints[]", &["key", "value", "effect"]),
    ("workers[].volume", &["sizeGiB"]),
];

/// What other tools call a field, and its name here.
const ELSEWHERE: [(&str, &str); 16] = [
    ("apiVersion", "version"),
    ("clusterName", "name"),
    ("ami", "id"),
    ("arch", "architecture"),
    ("controlPlane", "masters"),
    ("desiredCapacity", "count"),
    ("instanceType", "type"),
    ("machineType", "type"),
    ("nodeGroups", "workers"),
    ("nodePools", "workers"),
    ("replicas", "count"),
    ("size", "sizeGiB"),
    ("volumeSize", "volume"),
    ("vpcCidr", "cidr"),
    ("availabilityZones", "zones"),
    ("zone", "zones"),
];

/// The fields of the mapping at `path`; empty if no mapping belongs there.
pub(super) fn fields_of(path: &str) -> &'static [&'static str] {
    let shape = without_positions(path);
    FIELDS.iter().find(|(place, _)| *place == shape).map_or(&[], |(_, fields)| *fields)
}

/// A field that the mapping at `path` does not have.
pub(super) fn unknown(path: &str, name: &str) -> Mistake {
    let fields = fields_of(path);
    let remedy = if let Some(near) = meant(name, fields) {
        format!("did you mean {near}?")
    } else if let Some(home) = home_of(name) {
        format!("it belongs under {home}")
    } else {
        format!("the fields here are {}", fields.join(", "))
    };
    Mistake::new(format!("there is no field {}", quoted(name)), remedy)
}

/// The field of the same mapping that a wrong name stands for.
pub(super) fn meant(name: &str, fields: &'static [&'static str]) -> Option<&'static str> {
    let translated = ELSEWHERE
        .iter()
        .find(|(other, ours)| same(other, name) && fields.contains(ours))
        .map(|(_, ours)| *ours);
    translated.or_else(|| nearest(name, fields))
}

/// The mapping that does have the field, if exactly one does.
fn home_of(name: &str) -> Option<&'static str> {
    let mut homes = FIELDS
        .iter()
        .filter(|(_, fields)| fields.contains(&name))
        .map(|(place, _)| if place.is_empty() { "the top level" } else { *place });
    match (homes.next(), homes.next()) {
        (Some(home), None) => Some(home),
        _ => None,
    }
}

/// The known word that `name` was probably meant to be.
pub(in super::super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = plain(name);
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&plain, &self::plain(word)), *word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3).min(3) && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn same(left: &str, right: &str) -> bool {
    plain(left) == plain(right)
}

/// Case and word separators do not count: `pod_cidr` is podCidr.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// `workers[3].taints[0]` is `workers[].taints[]`.
fn without_positions(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}
