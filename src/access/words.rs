//! How upstream's messages spell lists, and errors gathered into one.

use api::field_error::quote;

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
    fn a_list_is_quoted_as_go_does() {
        assert_eq!(quote_list(&["a", "b\"c"]), r#"["a" "b\"c"]"#);
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
