//! Looking into JSON without building it: where a member's value stands in the text.
//!
//! For text that this server wrote itself (compact, valid): it finds spans and refuses
//! nothing. A text that is not JSON gives `None` somewhere, never a panic.

use std::borrow::Cow;
use std::ops::Range;

/// Where a value stands.
pub type Span = Range<usize>;

/// The place behind the value that begins at `at`.
fn skip(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => skip_string(text, at),
        b'{' | b'[' => skip_nested(text, at),
        _ => {
            let rest = text.get(at..)?;
            let length = rest.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(rest.len());
            (length > 0).then_some(at + length)
        }
    }
}

fn skip_string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip_nested(text: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0_u32);
    loop {
        match text.get(at)? {
            b'"' => {
                at = skip_string(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The members of the object that begins at `at`: the name's span (without quotes) and the value's.
pub fn members(text: &[u8], at: usize) -> Members<'_> {
    let open = text.get(at) == Some(&b'{');
    Members { text, at: if open { Some(at + 1) } else { None } }
}

/// See [`members`].
#[derive(Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: Option<usize>,
}

impl Iterator for Members<'_> {
    type Item = (Span, Span);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        if self.text.get(at)? != &b'"' {
            return None;
        }
        let name_end = skip_string(self.text, at)?;
        if self.text.get(name_end)? != &b':' {
            return None;
        }
        let value_end = skip(self.text, name_end + 1)?;
        if self.text.get(value_end) == Some(&b',') {
            self.at = Some(value_end + 1);
        }
        Some((at + 1..name_end - 1, name_end + 1..value_end))
    }
}

/// The value of the member `name` of the object that begins at `at`.
#[must_use]
pub fn member(text: &[u8], at: usize, name: &str) -> Option<Span> {
    members(text, at)
        .find(|(found, _)| text.get(found.clone()) == Some(name.as_bytes()))
        .map(|(_, value)| value)
}

/// The value at a path of members.
#[must_use]
pub fn path<'a>(text: &[u8], names: impl IntoIterator<Item = &'a str>) -> Option<Span> {
    names.into_iter().try_fold(0..text.len(), |span, name| member(text, span.start, name))
}

/// A string's or other scalar's text: a string without quotes and escapes, anything else as it stands.
#[must_use]
pub fn text_of<'a>(text: &'a [u8], span: &Span) -> Cow<'a, str> {
    let Some(raw) = text.get(span.clone()) else { return Cow::Borrowed("") };
    let Some(inner) = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")) else {
        return String::from_utf8_lossy(raw);
    };
    if inner.contains(&b'\\') {
        return Cow::Owned(serde_json::from_slice(raw).unwrap_or_default());
    }
    String::from_utf8_lossy(inner)
}

/// Writes `text` as a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &[u8] =
        br#"{"kind":"Pod","metadata":{"name":"a\"b","labels":{"x":"1"}},"n":12,"l":[1,{"a":"]"}],"t":true}"#;

    #[test]
    fn members_are_found_whatever_stands_before_them() {
        let value =
            |names: &[&str]| path(POD, names.iter().copied()).map(|span| text_of(POD, &span).into_owned());
        assert_eq!(value(&["metadata", "name"]).as_deref(), Some("a\"b"));
        assert_eq!(value(&["metadata", "labels", "x"]).as_deref(), Some("1"));
        assert_eq!(value(&["n"]).as_deref(), Some("12"));
        assert_eq!(value(&["l"]).as_deref(), Some(r#"[1,{"a":"]"}]"#));
        assert_eq!(value(&["t"]).as_deref(), Some("true"));
        assert_eq!(value(&["metadata", "absent"]), None);
    }

    #[test]
    fn what_is_not_json_gives_nothing() {
        for text in ["", "{", "{\"a", "{\"a\"", "{\"a\":", "[", "{\"a\":\"\\", "{a:1}", "{\"a\":{\"b\":[}"] {
            assert_eq!(path(text.as_bytes(), ["a", "b", "c"]), None, "{text}");
        }
    }
}
