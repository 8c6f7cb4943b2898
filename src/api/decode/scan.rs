//! A JSON scanner that refuses what Go's does, in its words.
//!
//! It works on bytes: what is not UTF-8 within a string, and half a surrogate pair, become
//! U+FFFD as in Go. Nesting is bounded, so that callers may recurse.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

/// How deep objects and lists may lie in each other. Go allows 10,000; nothing that is stored
/// comes near either.
pub const MAX_DEPTH: usize = 400;

/// Text that is not JSON; the words are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    /// A byte that does not belong there.
    #[error("invalid character {} {}", quote(*.0), .1)]
    Character(u8, &'static str),
    /// The text ends within a value.
    #[error("unexpected end of JSON input")]
    End,
}

/// What a value begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Object,
    List,
    String,
    Number,
    True,
    False,
    Null,
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    data: &'a [u8],
    at: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

const VALUE: &str = "looking for beginning of value";
const KEY: &str = "looking for beginning of object key string";

impl<'a> Scanner<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, depth: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from a place to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.data[start..self.at]
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.data.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8> {
        self.data.get(self.at).copied().ok_or(SyntaxError::End)
    }

    fn wrong<T>(&self, context: &'static str) -> Result<T> {
        self.peek().and_then(|byte| Err(SyntaxError::Character(byte, context)))
    }

    /// What the next value is; nothing of it is read.
    pub(super) fn start(&mut self) -> Result<Start> {
        self.space();
        Ok(match self.peek()? {
            b'{' => Start::Object,
            b'[' => Start::List,
            b'"' => Start::String,
            b'-' | b'0'..=b'9' => Start::Number,
            b't' => Start::True,
            b'f' => Start::False,
            b'n' => Start::Null,
            _ => return self.wrong(VALUE),
        })
    }

    /// Enters an object or a list, whose bracket is next.
    pub(super) fn enter(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return self.wrong("exceeded max depth");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next key of the object that was entered, with its colon; nothing at its end.
    pub(super) fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        self.space();
        match self.peek()? {
            b'}' => return Ok(self.leave()),
            b',' if !first => {
                self.at += 1;
                self.space();
            }
            _ if !first => return self.wrong("after object key:value pair"),
            _ => {}
        }
        if self.peek()? != b'"' {
            return self.wrong(KEY);
        }
        let key = self.string()?;
        self.space();
        if self.peek()? != b':' {
            return self.wrong("after object key");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the list that was entered has another item.
    pub(super) fn item(&mut self, first: bool) -> Result<bool> {
        self.space();
        match self.peek()? {
            b']' => {
                self.leave::<()>();
                return Ok(false);
            }
            b',' if !first => self.at += 1,
            _ if !first => return self.wrong("after array element"),
            _ => {}
        }
        Ok(true)
    }

    fn leave<T>(&mut self) -> Option<T> {
        self.depth -= 1;
        self.at += 1;
        None
    }

    /// Nothing but space follows.
    pub(super) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.data.len() { Ok(()) } else { self.wrong("after top-level value") }
    }

    /// Reads on to what ends or interrupts a string: a quote, a backslash, a control character.
    fn plain(&mut self) -> Result<u8> {
        let rest = &self.data[self.at..];
        let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at += special.unwrap_or(rest.len());
        self.peek()
    }

    /// A string, whose quote is next.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        match self.plain()? {
            b'"' => {
                let bytes = &self.data[start..self.at];
                self.at += 1;
                Ok(std::str::from_utf8(bytes).map_or_else(|_| replaced(bytes), Cow::Borrowed))
            }
            b'\\' => self.escaped(start),
            _ => self.wrong("in string literal"),
        }
    }

    /// Reads over a string, whose quote is next.
    fn skip_string(&mut self) -> Result<()> {
        self.at += 1;
        match self.plain()? {
            b'"' => {
                self.at += 1;
                Ok(())
            }
            b'\\' => self.escaped(self.at).map(drop),
            _ => self.wrong("in string literal"),
        }
    }

    /// The rest of a string that has escapes, from the first of them.
    fn escaped(&mut self, start: usize) -> Result<Cow<'a, str>> {
        let mut bytes = self.data[start..self.at].to_vec();
        loop {
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    self.at += 1;
                    let text = String::from_utf8(bytes);
                    return Ok(Cow::Owned(text.unwrap_or_else(|e| replaced(e.as_bytes()).into_owned())));
                }
                b'\\' => {
                    self.at += 1;
                    self.escape(&mut bytes)?;
                }
                0..0x20 => return self.wrong("in string literal"),
                _ => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// One escape, after its backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let plain = match self.peek()? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'u' => return self.unicode(out),
            _ => return self.wrong("in string escape code"),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.data[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            } else {
                // The second one stands for itself.
                self.at = before;
            }
        }
        let found = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Four hexadecimal digits after a `u`, which is next.
    fn hex(&mut self) -> Result<u32> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()?).to_digit(16) else {
                return self.wrong("in \\u hexadecimal character escape");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number's text, which is next.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return self.wrong("in numeric literal"),
        }
        if self.data.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.data.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.data.get(self.at) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(self.since(start)).unwrap_or_default())
    }

    fn digits(&mut self) {
        while self.data.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &'static str) -> Result<()> {
        if !self.peek()?.is_ascii_digit() {
            return self.wrong(context);
        }
        self.digits();
        Ok(())
    }

    /// `true`, `false` or `null`, of which the first letter is next.
    pub(super) fn word(&mut self, start: Start) -> Result<()> {
        let rest: &[(u8, &'static str)] = match start {
            Start::True => &[
                (b'r', "in literal true (expecting 'r')"),
                (b'u', "in literal true (expecting 'u')"),
                (b'e', "in literal true (expecting 'e')"),
            ],
            Start::False => &[
                (b'a', "in literal false (expecting 'a')"),
                (b'l', "in literal false (expecting 'l')"),
                (b's', "in literal false (expecting 's')"),
                (b'e', "in literal false (expecting 'e')"),
            ],
            _ => &[
                (b'u', "in literal null (expecting 'u')"),
                (b'l', "in literal null (expecting 'l')"),
                (b'l', "in literal null (expecting 'l')"),
            ],
        };
        for (letter, context) in rest {
            self.at += 1;
            if self.peek()? != *letter {
                return self.wrong(context);
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Reads over the next value.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.start()? {
            Start::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    self.skip()?;
                    first = false;
                }
            }
            Start::List => {
                self.enter()?;
                let mut first = true;
                while self.item(first)? {
                    self.skip()?;
                    first = false;
                }
            }
            Start::String => self.skip_string()?,
            Start::Number => self.number().map(drop)?,
            word => self.word(word)?,
        }
        Ok(())
    }

    /// The next value as it is; of two fields of one name the last counts.
    pub(super) fn any(&mut self) -> Result<Value> {
        Ok(match self.start()? {
            Start::Object => {
                self.enter()?;
                let mut map = Map::new();
                while let Some(key) = self.key(map.is_empty())? {
                    let value = self.any()?;
                    map.insert(key.into_owned(), value);
                }
                Value::Object(map)
            }
            Start::List => {
                self.enter()?;
                let mut list = Vec::new();
                while self.item(list.is_empty())? {
                    list.push(self.any()?);
                }
                Value::Array(list)
            }
            Start::String => Value::String(self.string()?.into_owned()),
            Start::Number => any_number(self.number()?),
            word => {
                self.word(word)?;
                literal(word)
            }
        })
    }
}

pub(super) fn literal(start: Start) -> Value {
    match start {
        Start::True => Value::Bool(true),
        Start::False => Value::Bool(false),
        _ => Value::Null,
    }
}

/// A number without a type: 64 bits of an integer where they hold it, else floating point.
pub(super) fn any_number(text: &str) -> Value {
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.map_or(Value::Null, Value::Number)
}

/// Each byte that is not part of UTF-8 as U+FFFD.
fn replaced(mut bytes: &[u8]) -> Cow<'static, str> {
    let mut out = String::with_capacity(bytes.len());
    while let Err(error) = std::str::from_utf8(bytes) {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        out.push_str(&String::from_utf8_lossy(valid));
        out.push(char::REPLACEMENT_CHARACTER);
        bytes = rest.get(1..).unwrap_or_default();
    }
    out.push_str(&String::from_utf8_lossy(bytes));
    Cow::Owned(out)
}

/// Go's quotes around a byte in a syntax error.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        7 => r"'\a'".to_owned(),
        8 => r"'\b'".to_owned(),
        11 => r"'\v'".to_owned(),
        12 => r"'\f'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> String {
        let mut scanner = Scanner::new(text);
        let value = scanner.any().and_then(|value| scanner.end().map(|()| value));
        let mut skipper = Scanner::new(text);
        let skipped = skipper.skip().and_then(|()| skipper.end());
        assert_eq!(value.as_ref().err(), skipped.as_ref().err(), "skipping and reading agree");
        value.map_or_else(|error| error.to_string(), |value| value.to_string())
    }

    #[test]
    fn what_is_no_json_is_refused_in_gos_words() {
        for (text, expect) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("{\"a\":1", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("1 2", "invalid character '2' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("tru3", "invalid character '3' in literal true (expecting 'e')"),
            ("nil", "invalid character 'i' in literal null (expecting 'u')"),
            ("{\"a\":'b'}", "invalid character '\\'' looking for beginning of value"),
            ("\u{e9}", "invalid character '\u{c3}' looking for beginning of value"),
        ] {
            assert_eq!(read(text.as_bytes()), expect, "{text}");
        }
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(read(deep.as_bytes()), "invalid character '[' exceeded max depth");
    }

    #[test]
    fn strings_are_read_as_go_reads_them() {
        for (text, expect) in [
            (&b"\"a\\u00e9\\n\\/\""[..], "\"a\u{e9}\\n/\""),
            (b"\"\\ud83d\\ude00\"", "\"\u{1f600}\""),
            (b"\"\\ud83dx\"", "\"\u{fffd}x\""),
            (b"\"\\ud83d\\u0041\"", "\"\u{fffd}A\""),
            (b"\"a\xffb\xc3\"", "\"a\u{fffd}b\u{fffd}\""),
            (b"\"\\t\xff\"", "\"\\t\u{fffd}\""),
        ] {
            assert_eq!(read(text), expect);
        }
        assert_eq!(
            read(b" { \"b\" : [ 1 , -2.5 , 1e3 ] , \"a\" : null } "),
            r#"{"b":[1,-2.5,1000.0],"a":null}"#
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            read(&text);
        }

        #[test]
        fn near_json_is_answered(text in "[\\[\\]{},:\"\\\\0-9eE.tfnu a-]{0,40}") {
            read(text.as_bytes());
        }
    }
}
