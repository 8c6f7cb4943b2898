//! Regions and availability zones, by the form of their names.
//!
//! Owns no list of regions: AWS adds some every year, and the preflight asks it.

use super::super::limits;
use super::{Checked, refuse, shown};

/// A region's name.
pub(in super::super) fn region(text: &str) -> Checked<String> {
    if is_region(text) {
        return Ok(text.to_owned());
    }
    if let Some(region) = region_of(text) {
        return refuse(format!("{} is a zone", shown(text)), format!("write its region: {region}"));
    }
    let close = text.to_ascii_lowercase().replace(['_', ' '], "-");
    let example = if is_region(&close) { &close } else { "us-east-1" };
    refuse(format!("{} is not a region's name", shown(text)), format!("write one like {example}"))
}

/// An availability zone's name.
pub(in super::super) fn zone(text: &str) -> Checked<String> {
    if subnet_index(text).is_some() {
        return Ok(text.to_owned());
    }
    if is_region(text) {
        return refuse(
            format!("{} is a region", shown(text)),
            format!("write one of its zones, such as {text}a"),
        );
    }
    if is_zone_id(text) {
        return refuse(
            format!("{} is a zone's id", shown(text)),
            "write the zone's name, such as us-east-1a",
        );
    }
    if is_local_zone(text) {
        return refuse(
            format!("{} is a local or wavelength zone, which this version does not use", shown(text)),
            "write an availability zone, such as us-east-1a",
        );
    }
    refuse(
        format!("{} is not a zone's name", shown(text)),
        "write one like us-east-1a: a region and a letter from a to h",
    )
}

/// The region of an availability zone's name: `us-east-1` of `us-east-1a`.
pub(in super::super) fn region_of(zone: &str) -> Option<&str> {
    let region = zone.strip_suffix(|c: char| c.is_ascii_lowercase())?;
    is_region(region).then_some(region)
}

/// The zone's place among the VPC's eight subnets: its letter's place in the alphabet. So no zone's
/// subnet depends on which other zones are used.
pub(in super::super) fn subnet_index(zone: &str) -> Option<usize> {
    let region = region_of(zone)?;
    let letter = zone.strip_prefix(region)?.bytes().next()?;
    let index = usize::from(letter.checked_sub(b'a')?);
    (index < limits::MAX_ZONES).then_some(index)
}

/// `us-east-1`, `ap-southeast-2`, `us-gov-west-1`: words, then a number.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.split_last() {
        Some((number, words)) => {
            words.len() >= 2
                && words.iter().all(|word| is_word(word))
                && words.first().is_some_and(|word| word.len() >= 2)
                && is_number(number)
        }
        None => false,
    }
}

/// `us-west-2-lax-1a`, `us-east-1-wl1-bos-wlz-1`: a region's name, and more.
fn is_local_zone(text: &str) -> bool {
    text.match_indices('-').any(|(end, _)| is_region(&text[..end]))
}

/// `use1-az1`.
fn is_zone_id(text: &str) -> bool {
    text.split_once("-az").is_some_and(|(region, number)| !region.contains('-') && is_number(number))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}
