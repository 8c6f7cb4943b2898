//! How upstream's messages spell values: Go's `%q` and its lists, and errors gathered
//! into one.

use std::fmt::Write;

/// Text in quotes as Go's `%q` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for symbol in text.chars() {
        push_quoted(&mut quoted, symbol);
    }
    quoted.push('"');
    quoted
}

fn push_quoted(quoted: &mut String, symbol: char) {
    let short = match symbol {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        _ => "",
    };
    // Writing to a string does not fail.
    let code = u32::from(symbol);
    let _ = match symbol {
        _ if !short.is_empty() => quoted.write_str(short),
        _ if code < 0x20 || code == 0x7f => write!(quoted, "\\x{code:02x}"),
        _ if !symbol.is_control() => quoted.write_char(symbol),
        _ => write!(quoted, "\\u{code:04x}"),
    };
}

/// A list as Go's `%q` writes it: `["a" "b"]`.
pub(crate) fn quote_list<S: AsRef<str>>(items: &[S]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

/// Several messages as one: each once, in brackets where there are more than one.
pub(crate) fn aggregate(messages: &[String]) -> String {
    let mut once: Vec<&str> = Vec::new();
    for message in messages {
        if !once.contains(&message.as_str()) {
            once.push(message);
        }
    }
    match once[..] {
        [only] => only.to_owned(),
        _ => format!("[{}]", once.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_does() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("tab\tand\nline", r#""tab\tand\nline""#),
            ("\u{0}\u{7f}", r#""\x00\x7f""#),
            ("Grüße", r#""Grüße""#),
            ("\u{85}", r#""\u0085""#),
        ] {
            assert_eq!(quote(text), expected);
        }
        assert_eq!(quote_list(&["a", "b"]), r#"["a" "b"]"#);
        assert_eq!(quote_list::<&str>(&[]), "[]");
    }

    #[test]
    fn errors_are_told_once_each() {
        let all =
            |messages: &[&str]| aggregate(&messages.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>());
        assert_eq!(all(&["a"]), "a");
        assert_eq!(all(&["a", "a"]), "a");
        assert_eq!(all(&["a", "b", "a"]), "[a, b]");
    }
}
