//! JSON as Go's encoder writes it: `<`, `>`, `&` and two line separators escaped, floating point
//! in Go's forms, no spaces.

use serde_json::{Number, Value};

/// The bytes of a value, without the line break that a server puts after them.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write(value, &mut out);
    out
}

/// Appends a value.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(list) => {
            out.push(b'[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(value, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            for (at, (name, value)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    let text = match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn float_text(float: f64) -> String {
    let magnitude = float.abs();
    if float == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return format!("{float}");
    }
    let text = format!("{float:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let plain = byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        if plain || byte == 0xe2 && !is_separator(&bytes[at..]) {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + escape(byte, &bytes[at..], out);
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Whether U+2028 or U+2029 begins here.
fn is_separator(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xe2, 0x80, 0xa8]) || bytes.starts_with(&[0xe2, 0x80, 0xa9])
}

/// Writes one escape and gives the length of what it stands for.
fn escape(byte: u8, bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        0xe2 => {
            out.extend_from_slice(if bytes.get(2) == Some(&0xa8) { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return 1;
        }
    };
    out.extend([b'\\', letter]);
    1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(to_vec(value)).unwrap()
    }

    #[test]
    fn it_is_gos_json() {
        assert_eq!(
            text(&json!("<a&b>\u{2028}\u{2029}\u{20ac}\u{1}\n\"\\\u{7f}\u{8}")),
            r#""\u003ca\u0026b\u003e\u2028\u2029€\u0001\n\"\\\b""#.replace("\\\\\\b", "\\\\\u{7f}\\b")
        );
        let numbers = json!([1.0, -0.5, 1e20, 1e21, 1.5e-7, 0.000001, 123456789012345678_i64, 1e300]);
        assert_eq!(
            text(&numbers),
            "[1,-0.5,100000000000000000000,1e+21,1.5e-7,0.000001,123456789012345678,1e+300]"
        );
        assert_eq!(text(&json!({"b": null, "a": [true, {}]})), r#"{"b":null,"a":[true,{}]}"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(words: Vec<String>, number: i64) {
            let value = json!({"words": words, "number": number});
            prop_assert_eq!(serde_json::from_slice::<Value>(&to_vec(&value)).unwrap(), value);
        }
    }
}
