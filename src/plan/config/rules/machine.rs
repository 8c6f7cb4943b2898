//! Machines: instance types, counts, volumes, images, login users and instance profiles.

use super::super::{Architecture, TaintEffect, Via, limits};
use super::{Checked, refuse, shown};

/// An instance type, by its form; whether it is offered is the preflight's question.
pub(in super::super) fn instance_type(text: &str) -> Checked<String> {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let formed = text.split_once('.').is_some_and(|(family, size)| part(family) && part(size));
    if !formed {
        let lower = text.to_ascii_lowercase();
        let example =
            if lower != text && instance_type(&lower).is_ok() { lower } else { "t3.small".to_owned() };
        return refuse(
            format!("{} is not an instance type", shown(text)),
            format!("write FAMILY.SIZE, such as {example}"),
        );
    }
    if text.starts_with("mac") {
        return refuse(
            format!("{} runs only on a dedicated host", shown(text)),
            "write a type that runs Linux, such as t3.small",
        );
    }
    Ok(text.to_owned())
}

/// What an instance type runs. Graviton families carry a `g` after their generation (t4g, m7gd,
/// im4gn); a1, the first, does not. The family g itself (g4dn, g6) is Intel and AMD with GPUs.
pub(in super::super) fn architecture_of(instance_type: &str) -> Architecture {
    let family = instance_type.split('.').next().unwrap_or_default();
    let after_letters = family.trim_start_matches(|c: char| c.is_ascii_lowercase());
    if family == "a1" || after_letters.contains('g') { Architecture::Arm64 } else { Architecture::X86_64 }
}

/// How many masters. More than one is a later version's.
pub(in super::super) fn master_count(number: i128) -> Checked<u32> {
    match number {
        1 => Ok(1),
        3 | 5 => {
            refuse(format!("{number} masters are not built yet: this version runs a single one"), "write 1")
        }
        ..=0 => refuse(format!("{number} masters make no cluster"), "write 1"),
        n if n % 2 == 0 => refuse(
            format!(
                "{n} masters survive no more failures than {}: etcd needs a majority, so the \
                 count is odd",
                n - 1
            ),
            "write 1, for this version runs a single one",
        ),
        n => refuse(
            format!("{n} masters are too many: each write waits for more than half of them"),
            "write 1, for this version runs a single one",
        ),
    }
}

/// How many machines a worker group has.
pub(in super::super) fn worker_count(number: i128) -> Checked<u32> {
    between(number, limits::GROUP_COUNT, "a count of machines")
}

/// A root volume's size in GiB.
pub(in super::super) fn volume_gib(number: i128) -> Checked<u32> {
    between(number, limits::VOLUME_GIB, "a size in GiB for a root volume")
}

/// The format version.
pub(in super::super) fn version(number: i128) -> Checked<u32> {
    if number == i128::from(limits::FORMAT_VERSION) {
        return Ok(limits::FORMAT_VERSION);
    }
    let remedy = if number > i128::from(limits::FORMAT_VERSION) {
        "write 1, or use the newer cluster the file was written for"
    } else {
        "write 1"
    };
    refuse(format!("this build reads format version 1, not {number}"), remedy)
}

fn between(number: i128, range: std::ops::RangeInclusive<u32>, what: &str) -> Checked<u32> {
    match u32::try_from(number) {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => refuse(
            format!("{number} is not {what}"),
            format!("write a number from {} to {}", range.start(), range.end()),
        ),
    }
}

/// `auto`, `public` or `private`.
pub(in super::super) fn via(text: &str) -> Checked<Via> {
    one_of(text, &[Via::Auto, Via::Public, Via::Private], Via::as_str)
}

/// EC2's words for architectures; the other usual ones are answered with them.
pub(in super::super) fn architecture(text: &str) -> Checked<Architecture> {
    let right = match text {
        "amd64" | "x86-64" | "x64" | "x86" => "x86_64",
        "aarch64" | "arm" | "graviton" => "arm64",
        _ => {
            let known = [Architecture::X86_64, Architecture::Arm64];
            return one_of(text, &known, Architecture::as_str);
        }
    };
    refuse(format!("{} is not EC2's word", shown(text)), format!("write {right}"))
}

/// Kubernetes' taint effects.
pub(in super::super) fn taint_effect(text: &str) -> Checked<TaintEffect> {
    let known = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute];
    one_of(text, &known, TaintEffect::as_str)
}

fn one_of<T: Copy>(text: &str, known: &[T], word: fn(T) -> &'static str) -> Checked<T> {
    if let Some(found) = known.iter().find(|known| word(**known) == text) {
        return Ok(*found);
    }
    let words: Vec<&str> = known.iter().map(|known| word(*known)).collect();
    let near = super::super::decode::nearest(text, &words);
    let remedy = match near {
        Some(word) => format!("did you mean {word}? The words here are {}", words.join(", ")),
        None => format!("write one of {}", words.join(", ")),
    };
    refuse(format!("{} is none of the words here", shown(text)), remedy)
}

/// An image's id.
pub(in super::super) fn image_id(text: &str) -> Checked<String> {
    let formed = text.strip_prefix("ami-").is_some_and(|id| {
        matches!(id.len(), 8 | 17) && id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    });
    if formed {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not an image's id", shown(text)),
        "write ami- and 17 (or 8) hexadecimal digits, or owner and name instead",
    )
}

/// Who publishes an image.
pub(in super::super) fn image_owner(text: &str) -> Checked<String> {
    let account = text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
    if account || matches!(text, "amazon" | "aws-marketplace" | "self") {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not an account", shown(text)),
        "write its 12 digits in quotes, amazon, aws-marketplace or self",
    )
}

/// An image's name with wildcards, in EC2's character set.
pub(in super::super) fn image_name(text: &str) -> Checked<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || " ()[]./-'@_*?".contains(c);
    if (3..=128).contains(&text.len()) && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not an image's name", shown(text)),
        "write 3 to 128 characters, * and ? standing for any, such as debian-12-amd64-*",
    )
}

/// A login user.
pub(in super::super) fn user(text: &str) -> Checked<String> {
    if text == "root" {
        return refuse(
            "\"root\" may not log in on cloud images",
            "write the image's login user, such as admin",
        );
    }
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let inner = |c: char| first(c) || c.is_ascii_digit() || c == '-';
    if (1..=32).contains(&text.len()) && text.starts_with(first) && text.chars().all(inner) {
        return Ok(text.to_owned());
    }
    refuse(format!("{} is not a user's name", shown(text)), "write the image's login user, such as admin")
}

/// An instance profile's name.
pub(in super::super) fn instance_profile(text: &str) -> Checked<String> {
    if let Some((_, name)) = text.split_once(":instance-profile/") {
        let name = name.rsplit('/').next().unwrap_or_default();
        return refuse(format!("{} is an ARN", shown(text)), format!("write only its name: {name}"));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (1..=128).contains(&text.len()) && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not an instance profile's name", shown(text)),
        "write 1 to 128 letters, digits and _+=,.@-",
    )
}
