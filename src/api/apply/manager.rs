//! The name a writer is known by.

use serde_json::Value;

use crate::field_error::{ErrorKind, FieldError};
use crate::patch::words::printable;

/// Most bytes of a name.
const MOST_BYTES: usize = 128;

/// The name given with the request, else what the user agent says before its first slash,
/// without what cannot be printed. Empty if there is none: then it is recorded as `unknown`.
#[must_use]
pub fn manager_name(given: &str, user_agent: &str) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    let mut name = String::new();
    let prefix = user_agent.split('/').next().unwrap_or_default();
    for c in prefix.chars().filter(|c| printable(*c)) {
        if name.len() + c.len_utf8() > MOST_BYTES {
            break;
        }
        name.push(c);
    }
    name
}

/// What is wrong with a name given with the request, at `path` (`fieldManager`).
#[must_use]
pub fn check_manager(name: &str, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut error = |kind, detail: String| {
        errors.push(FieldError { kind, path: path.to_owned(), value: Value::from(name), detail });
    };
    if name.len() > MOST_BYTES {
        error(ErrorKind::TooLong, format!("may not be more than {MOST_BYTES} bytes"));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !printable(*c)) {
        error(ErrorKind::Invalid, format!("invalid character U+{:04X} (at position {at})", u32::from(c)));
    }
    errors
}

/// What is wrong with the manager and `force` of a patch.
#[must_use]
pub fn check_patch_options(manager: &str, force: Option<bool>, applies: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let error = |kind, path: &str, detail: &str| FieldError {
        kind,
        path: path.to_owned(),
        value: Value::Null,
        detail: detail.to_owned(),
    };
    if applies && manager.is_empty() {
        errors.push(error(ErrorKind::Required, "fieldManager", "is required for apply patch"));
    }
    if !applies && force.is_some() {
        errors.push(error(ErrorKind::Forbidden, "force", "may not be specified for non-apply patch"));
    }
    errors.extend(check_manager(manager, "fieldManager"));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_or_taken_from_the_user_agent() {
        assert_eq!(manager_name("me", "kubectl/v1.37"), "me");
        assert_eq!(manager_name("", "kube\u{7}ctl/v1.37 (linux)"), "kubectl");
        assert_eq!(manager_name("", &"é".repeat(100)).len(), 128);
        assert_eq!(manager_name("", ""), "");
    }

    #[test]
    fn names_and_force_are_checked() {
        let words = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            words(check_patch_options("a\u{1}", Some(true), false)),
            [
                "force: Forbidden: may not be specified for non-apply patch",
                "fieldManager: Invalid value: \"a\\x01\": invalid character U+0001 (at position 1)"
            ]
        );
        assert_eq!(
            words(check_patch_options("", None, true)),
            ["fieldManager: Required value: is required for apply patch"]
        );
        assert_eq!(
            words(check_manager(&"x".repeat(129), "fieldManager")),
            ["fieldManager: Too long: may not be more than 128 bytes"]
        );
    }
}
