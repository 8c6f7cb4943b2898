//! The words of a label selector's text: identifiers, operators, brackets.

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

/// Cuts the whole text into words; the last one is [`Token::End`] with an empty text.
pub(super) fn words(text: &str) -> Vec<(Token, String)> {
    let mut rest = text;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            found.push((Token::End, String::new()));
            return found;
        };
        let (token, word, used) = if is_symbol(first) { symbol(rest) } else { identifier(rest) };
        found.push((token, word));
        rest = rest.get(used..).unwrap_or_default();
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn named(word: &str) -> Option<Token> {
    Some(match word {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "<" => Token::Less,
        "in" => Token::In,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn identifier(text: &str) -> (Token, String, usize) {
    let end = text.find(|c| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    (named(word).unwrap_or(Token::Identifier), word.to_owned(), end)
}

/// The longest run of symbols that is a word; a run that never becomes one is an error.
fn symbol(text: &str) -> (Token, String, usize) {
    let run = text.find(|c| !is_symbol(c)).unwrap_or(text.len());
    let mut longest = None;
    for end in 1..=run {
        let word = text.get(..end).unwrap_or_default();
        match named(word) {
            Some(token) => longest = Some((token, word.to_owned(), end)),
            None if longest.is_some() => break,
            None => {}
        }
    }
    longest.unwrap_or_else(|| {
        let said = format!("error expected: keyword found '{}'", text.get(..run).unwrap_or_default());
        (Token::Error, said, run)
    })
}
