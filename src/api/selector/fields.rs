//! Field selectors: `metadata.name=web,spec.nodeName!=`. Which fields a kind knows is its row's.

use super::SelectorError;

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldTerm {
    /// The field, as it was written.
    pub field: String,
    /// Whether the field must differ from the value.
    pub differs: bool,
    /// The value.
    pub value: String,
}

/// All of its terms must hold; one without any matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldSelector {
    /// Sorted by text.
    pub terms: Vec<FieldTerm>,
}

/// A field that a kind cannot be selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedField(pub String);

impl FieldSelector {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = split(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, differs, value)) = cut(part) else {
                return Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            terms.push(FieldTerm { field: field.to_owned(), differs, value: unescape(value)? });
        }
        Ok(Self { terms })
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether an object matches whose fields `field` gives as text (empty where absent).
    pub fn matches<'a>(&self, field: impl Fn(&str) -> std::borrow::Cow<'a, str>) -> bool {
        self.terms.iter().all(|term| (field(&term.field) == term.value) != term.differs)
    }

    /// The value that `field` must have, if one is asked for.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| !term.differs && term.field == field).map(|term| &*term.value)
    }

    /// The first term whose field `known` does not hold.
    pub fn check(&self, known: impl Fn(&str) -> bool) -> Result<(), UnsupportedField> {
        match self.terms.iter().find(|term| !known(&term.field)) {
            Some(term) => Err(UnsupportedField(term.field.clone())),
            None => Ok(()),
        }
    }
}

/// At commas that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// At the first operator.
fn cut(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.char_indices().map(|(at, _)| at).find(|&at| {
        let rest = term.get(at..).unwrap_or_default();
        rest.starts_with("!=") || rest.starts_with('=')
    })?;
    let (field, rest) = term.split_at_checked(at)?;
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, true, value));
    }
    Some((field, false, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut escaped = false;
    for c in value.chars() {
        match c {
            '\\' | ',' | '=' if escaped => {
                text.push(c);
                escaped = false;
            }
            _ if escaped => {
                return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{c}")));
            }
            '\\' => escaped = true,
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            _ => text.push(c),
        }
    }
    if escaped {
        return Err(SelectorError("invalid field selector: invalid escape sequence: \\".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_compare_and_escapes_are_data() {
        let selector = FieldSelector::parse("spec.nodeName!=,metadata.name==a\\,b").expect("a selector");
        let name = |field: &str| match field {
            "metadata.name" => "a,b".into(),
            "spec.nodeName" => "node-1".into(),
            _ => "".into(),
        };
        assert!(selector.matches(name));
        assert_eq!(selector.exact("metadata.name"), Some("a,b"));
        assert_eq!(selector.exact("spec.nodeName"), None);
        assert!(!selector.matches(|_| "".into()));
        assert!(FieldSelector::parse("").expect("a selector").matches(name));
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_upstreams_words() {
        let cases = [
            ("a,b=c", "invalid selector: 'a,b=c'; can't understand 'a'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
        ];
        for (text, expected) in cases {
            assert_eq!(FieldSelector::parse(text).expect_err(text).0, expected);
        }
        let unknown = FieldSelector::parse("spec.x=1").expect("a selector").check(|f| f == "metadata.name");
        assert_eq!(unknown, Err(UnsupportedField("spec.x".to_owned())));
    }
}
