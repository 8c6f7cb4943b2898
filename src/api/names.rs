//! What names, label keys, ports and the like may look like, with upstream's messages.
//!
//! Each rule gives what is wrong with a text, nothing if it is fine.

use crate::field_error::quote;

/// What is wrong with a name; the flag says that it is a prefix (`generateName`), whose
/// trailing dash is no mistake.
pub type NameRule = fn(&str, bool) -> Vec<String>;

const LABEL_FORM: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORM: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const KEY_FORM: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_SAYS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// `must be between A and B, inclusive`.
#[must_use]
pub fn range_says(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// `must be no more than N characters`.
#[must_use]
pub fn length_says(at_most: usize) -> String {
    format!("must be no more than {at_most} characters")
}

/// A message with examples and the form.
#[must_use]
pub fn form_says(message: &str, form: &str, examples: &[&str]) -> String {
    let form = format!("regex used for validation is '{form}')");
    if examples.is_empty() {
        return format!("{message} ({form}");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{message} (e.g. {}{form}", examples.join(" or "))
}

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// First and last by `edge`, between them `edge` or one of `inner`.
fn framed(text: &str, edge: fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    edge(first) && edge(last) && bytes.iter().all(|&c| edge(c) || inner.contains(&c))
}

fn is_label(text: &str) -> bool {
    framed(text, lower, b"-")
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_key(text: &str) -> bool {
    framed(text, |c| c.is_ascii_alphanumeric(), b"-_.")
}

/// RFC 1123's label.
#[must_use]
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 63);
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            form_says(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL_FORM,
                &["my-name", "123-abc"],
            )
        });
    }
    wrong
}

/// RFC 1123's subdomain.
#[must_use]
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 253);
    if !is_subdomain(text) {
        wrong.push(form_says(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_FORM,
            &["example.com"],
        ));
    }
    wrong
}

/// A subdomain whose labels may hold underscores, as search lists take it.
#[must_use]
pub fn subdomain_with_underscore(text: &str) -> Vec<String> {
    let part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        framed(part, lower, b"-_")
    };
    let mut wrong = too_long(text, 253);
    if !text.split('.').all(part) {
        wrong.push(form_says(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    wrong
}

/// RFC 1035's label, which starts with a letter.
#[must_use]
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 63);
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(form_says(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// A subdomain after `*.`.
#[must_use]
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 253);
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(form_says(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN_FORM}"),
            &["*.example.com"],
        ));
    }
    wrong
}

/// Newer rules of upstream count bytes and say so.
fn in_bytes(message: &str) -> String {
    if message.starts_with("must be no more") {
        message.replace(" characters", " bytes")
    } else {
        message.to_owned()
    }
}

/// A label's key, an annotation's, a finalizer: upstream's qualified name.
#[must_use]
pub fn label_key(text: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(
                    dns1123_subdomain(prefix).into_iter().map(|w| format!("prefix part {}", in_bytes(&w))),
                );
            }
            name
        }
        _ => {
            let form = form_says(KEY_SAYS, KEY_FORM, &examples);
            return vec![format!(
                "a valid label key {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", in_bytes(&length_says(63))));
    }
    if !is_key(name) {
        wrong.push(format!("name part {}", form_says(KEY_SAYS, KEY_FORM, &examples)));
    }
    wrong
}

/// A label's value.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong: Vec<String> = too_long(text, 63).iter().map(|w| in_bytes(w)).collect();
    if !text.is_empty() && !is_key(text) {
        wrong.push(form_says(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({KEY_FORM})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A key of a ConfigMap or Secret.
#[must_use]
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 253);
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        wrong.push(form_says(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    wrong.extend(leaves_folder(text));
    wrong
}

fn leaves_folder(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if text.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// An environment variable, by the rule that is in force: any printable ASCII but `=`.
#[must_use]
pub fn env_var(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if !text.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        let says = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        wrong.push(says.to_owned());
    }
    wrong
}

/// A C identifier.
#[must_use]
pub fn c_identifier(text: &str) -> Vec<String> {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    if !text.is_empty() && text.bytes().all(word) && !text.as_bytes()[0].is_ascii_digit() {
        return Vec::new();
    }
    vec![form_says(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// A named port.
#[must_use]
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 15);
    if text.is_empty() || !text.bytes().all(|c| lower(c) || c == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|c| c.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// A port's number.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![range_says(1, 65535)] }
}

/// A user or group.
#[must_use]
pub fn user_id(id: i64) -> Vec<String> {
    let most = i64::from(i32::MAX);
    if (0..=most).contains(&id) { Vec::new() } else { vec![range_says(0, most)] }
}

/// `12%`.
#[must_use]
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%');
    if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|c| c.is_ascii_digit())) {
        return Vec::new();
    }
    vec![form_says(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// The name of an HTTP header.
#[must_use]
pub fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Vec::new();
    }
    vec![form_says(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A condition's reason.
#[must_use]
pub fn condition_reason(text: &str) -> Vec<String> {
    let last = text.bytes().next_back();
    let fine = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_,:".contains(&c))
        && last.is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    if fine {
        return Vec::new();
    }
    vec![form_says(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// A domain with at least three parts: a signer's, a controller's.
#[must_use]
pub fn fully_qualified(text: &str) -> Vec<String> {
    let wrong = dns1123_subdomain(text);
    if !wrong.is_empty() {
        return vec![wrong.join(",")];
    }
    if text.split('.').count() < 3 {
        return vec!["should be a domain with at least three segments separated by dots".to_owned()];
    }
    wrong
}

fn too_long(text: &str, at_most: usize) -> Vec<String> {
    if text.len() > at_most { vec![length_says(at_most)] } else { Vec::new() }
}

/// Upstream looks at a prefix as if its last two bytes were one letter.
fn masked(text: &str, prefix: bool) -> String {
    match text.strip_suffix('-').filter(|rest| prefix && !rest.is_empty()) {
        Some(rest) => {
            let end = rest.char_indices().next_back().map_or(0, |(at, _)| at);
            format!("{}a", &rest[..end])
        }
        None => text.to_owned(),
    }
}

/// Names that are subdomains: most kinds.
#[must_use]
pub fn subdomain_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&masked(name, prefix))
}

/// Names that a signer's may be before: `example.com:signer:name` (ClusterTrustBundles).
#[must_use]
pub fn signed_rule(name: &str, prefix: bool) -> Vec<String> {
    name.split(':').rev().enumerate().flat_map(|(at, part)| subdomain_rule(part, prefix && at == 0)).collect()
}

/// Names that are addresses in their shortest form (IPAddresses).
#[must_use]
pub fn address_rule(name: &str, _prefix: bool) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(address) => vec![format!("not a valid IP address in canonical format, it should be {address}")],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

/// Names that are labels: namespaces.
#[must_use]
pub fn label_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&masked(name, prefix))
}

/// Names that start with a letter: Services.
#[must_use]
pub fn label_1035_rule(name: &str, prefix: bool) -> Vec<String> {
    dns1035_label(&masked(name, prefix))
}

/// Names that a path can carry: RBAC kinds.
#[must_use]
pub fn path_rule(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A name from `base` and random numbers: five letters that make no words.
#[must_use]
pub fn generate(base: &str, random: u64) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let end = (0..=base.len().min(58)).rev().find(|&at| base.is_char_boundary(at)).unwrap_or(0);
    let mut name = base[..end].to_owned();
    let mut rest = random;
    for _ in 0..5 {
        name.push(char::from(LETTERS[usize::try_from(rest % 27).unwrap_or(0)]));
        rest /= 27;
    }
    name
}

/// `["a" "b"]` as Go prints a slice by `%q`.
#[must_use]
pub fn quoted_list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.into_iter().map(quote).collect();
    format!("[{}]", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains_are_told_apart_in_the_message() {
        assert!(dns1123_label("my-name").is_empty());
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert!(dns1123_subdomain("a.b-c.d").is_empty());
        for wrong in ["", ".", "a.", ".a", "a..b", "a.-b", "a_b"] {
            assert_eq!(dns1123_subdomain(wrong).len(), 1, "{wrong}");
        }
        assert_eq!(dns1035_label("1a").len(), 1);
    }

    #[test]
    fn label_keys_have_at_most_one_prefix() {
        assert!(label_key("app.kubernetes.io/name").is_empty());
        assert_eq!(label_key("/x"), ["prefix part must be non-empty"]);
        assert_eq!(label_key("a/").len(), 2);
        assert!(label_key("a/b/c")[0].starts_with("a valid label key must consist of"));
        assert_eq!(label_value(&"v".repeat(64)), ["must be no more than 63 bytes"]);
        assert!(label_value("").is_empty());
    }

    #[test]
    fn a_prefix_may_end_with_a_dash() {
        assert!(subdomain_rule("web-", true).is_empty());
        assert!(!subdomain_rule("web-", false).is_empty());
        assert!(!subdomain_rule("-", true).is_empty());
        assert!(signed_rule("test.io:signer:a", false).is_empty() && !signed_rule("a:B", false).is_empty());
        assert!(address_rule("fe80::1", false).is_empty() && !address_rule("FE80::1", false).is_empty());
        assert_eq!(path_rule("..", false), ["may not be '..'"]);
        assert_eq!(path_rule("a/b%", false), ["may not contain '/'", "may not contain '%'"]);
    }

    #[test]
    fn generated_names_fit_a_label() {
        let name = generate(&"x".repeat(80), 123_456_789);
        assert_eq!(name.len(), 63);
        assert!(dns1123_label(&name).is_empty());
        assert_ne!(generate("a-", 1), generate("a-", 2));
    }
}
