//! Makes two runs comparable: what a server chooses (uids, times, versions, names, addresses,
//! ports, tokens) becomes a symbol that keeps what is equal equal and versions in their order.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::play::Played;

/// Addresses of Services, as the oracle and ours are started.
const SERVICES: &str = "10.96.";
/// Letters and digits that generated names end with, and how many.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LONG: usize = 5;
/// Lists whose order is chance: it hangs on the second in which each was written, or on a hash.
const UNORDERED: &[&str] = &["managedFields", "nonResourceRules", "nonResourceURLs", "resourceRules"];
/// Times that far from now were not chosen by the server.
const DAY_S: i64 = 2 * 86_400;

/// The answers of one case, in symbols.
pub(crate) fn normalise(played: &Played) -> Vec<Value> {
    let mut symbols = Symbols { sent: played.sent.clone(), ..Symbols::default() };
    for answer in &played.answers {
        symbols.learn(answer, &played.sent);
    }
    played.answers.iter().map(|answer| symbols.answer(answer)).collect()
}

#[derive(Default)]
struct Symbols {
    /// In the order met.
    uids: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<i64>,
    /// Of objects; a list's own is not told, since others write beside.
    versions: BTreeSet<u64>,
    /// Generated names and what they are called.
    names: BTreeMap<String, String>,
    sent: String,
}

impl Symbols {
    fn learn(&mut self, value: &Value, sent: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item, sent)),
            Value::Object(map) => {
                self.learn_metadata(map);
                for (key, value) in map {
                    self.learn_chosen(key, value, sent);
                    self.learn(value, sent);
                }
            }
            Value::String(text) => match token_parts(text) {
                Some((_, claims)) => self.learn(&claims, sent),
                None => self.learn_text(text),
            },
            _ => {}
        }
    }

    fn learn_metadata(&mut self, map: &Map<String, Value>) {
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        if let (Some(prefix), Some(name)) = (text("generateName"), text("name")) {
            let suffix = name.strip_prefix(prefix).unwrap_or_default();
            if suffix.len() == SUFFIX_LONG && suffix.chars().all(|c| SUFFIX.contains(c)) {
                self.names.insert(name.to_owned(), format!("{prefix}<suffix>"));
            }
        }
    }

    fn learn_chosen(&mut self, key: &str, value: &Value, sent: &str) {
        match (key.trim_start_matches("/metadata/"), value) {
            ("resourceVersion", Value::String(version)) => {
                self.versions.extend(version.parse::<u64>().ok().filter(|version| *version > 0));
            }
            ("nodePort" | "healthCheckNodePort", Value::Number(port)) => {
                let port = port.as_i64().unwrap_or_default();
                if port != 0 && !sent.contains(&port.to_string()) && !self.ports.contains(&port) {
                    self.ports.push(port);
                }
            }
            ("clusterIP", Value::String(address))
                if address.starts_with(SERVICES)
                    && !sent.contains(address.as_str())
                    && !self.addresses.contains(address) =>
            {
                self.addresses.push(address.clone());
            }
            _ => {}
        }
    }

    fn learn_text(&mut self, text: &str) {
        for at in 0..text.len() {
            if let Some(uid) = uid_at(text, at)
                && !self.uids.iter().any(|known| known == uid)
            {
                self.uids.push(uid.to_owned());
            }
        }
    }

    fn answer(&self, answer: &Value) -> Value {
        let Value::Object(map) = answer else { return self.value("", answer) };
        map.iter()
            .map(|(key, value)| match (key.as_str(), value) {
                // Told as text, so that the order of fields counts.
                ("exact", document) => (key.clone(), json!(self.value("", document).to_string())),
                _ => (key.clone(), self.value(key, value)),
            })
            .collect::<Map<_, _>>()
            .into()
    }

    fn value(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut told: Vec<Value> = items.iter().map(|item| self.value(key, item)).collect();
                if UNORDERED.iter().any(|name| key.contains(name)) {
                    told.sort_by_key(Value::to_string);
                }
                told.into()
            }
            Value::Object(map) => self.object(map),
            Value::String(text) => self.string(key, text),
            Value::Number(number) if key == "nodePort" || key == "healthCheckNodePort" => {
                let at = self.ports.iter().position(|port| number.as_i64() == Some(*port));
                at.map_or_else(|| value.clone(), |at| json!(format!("<port-{}>", at + 1)))
            }
            other => other.clone(),
        }
    }

    fn object(&self, map: &Map<String, Value>) -> Value {
        let is_list = map.contains_key("items") || map.contains_key("rows");
        let is_bookmark = map.get("type").is_some_and(|kind| kind == "BOOKMARK");
        let mut out = Map::new();
        for (key, value) in map {
            let told = match (key.as_str(), value) {
                ("metadata", Value::Object(metadata)) if is_list => self.list_metadata(metadata),
                ("/metadata", Value::Object(metadata)) if !metadata.contains_key("name") => {
                    self.list_metadata(metadata)
                }
                ("object", Value::Object(object)) if is_bookmark => self.bookmark(object),
                // Words for people: ours are our own.
                ("description", Value::String(_)) if map.contains_key("priority") => json!("<description>"),
                ("cells", Value::Array(cells)) => cells.iter().map(|cell| self.cell(cell)).collect(),
                _ => self.value(key, value),
            };
            out.insert(self.text(key), told);
        }
        Value::Object(out)
    }

    fn list_metadata(&self, metadata: &Map<String, Value>) -> Value {
        let mut out = Map::new();
        for (key, value) in metadata {
            let told = match (key.as_str(), value.as_str()) {
                ("resourceVersion", Some(version)) if version.parse::<u64>().is_ok_and(|v| v > 0) => {
                    json!("<version>")
                }
                ("continue", Some(text)) if !text.is_empty() => json!("<continue>"),
                _ => self.value(key, value),
            };
            out.insert(key.clone(), told);
        }
        Value::Object(out)
    }

    fn bookmark(&self, object: &Map<String, Value>) -> Value {
        let mut out = object.clone();
        if let Some(version) =
            out.get_mut("metadata").and_then(|metadata| metadata.get_mut("resourceVersion"))
        {
            *version = json!("<version>");
        }
        Value::Object(out)
    }

    /// A Table's cell: ages are as old as the run is.
    fn cell(&self, cell: &Value) -> Value {
        let age = |text: &str| {
            let digits = text.trim_end_matches(['s', 'm', 'h']);
            digits.len() + 1 == text.len() && digits.parse::<u64>().is_ok_and(|number| number < 120)
        };
        match cell {
            Value::String(text) if age(text) => json!("<age>"),
            // How long ago a year of the cases was, which grows by the day.
            Value::String(text) if text.ends_with("d ago)") && text.contains('y') => {
                let before = text.split(" (").next().unwrap_or_default();
                json!(format!("{before} (<age> ago)"))
            }
            Value::String(text) if self.addresses.contains(text) => self.string("clusterIP", text),
            other => self.value("", other),
        }
    }

    fn string(&self, key: &str, text: &str) -> Value {
        let at = |list: &[String]| list.iter().position(|known| known == text).map(|at| at + 1);
        if key.trim_start_matches("/metadata/") == "resourceVersion"
            && let Ok(version) = text.parse::<u64>()
            && self.versions.contains(&version)
        {
            let rank = self.versions.iter().position(|known| *known == version).unwrap_or_default();
            return json!(format!("<version-{}>", rank + 1));
        }
        if matches!(key, "clusterIP" | "clusterIPs")
            && let Some(at) = at(&self.addresses)
        {
            return json!(format!("<address-{at}>"));
        }
        if key == "serverAddress" {
            return json!("<address>");
        }
        if let Some((path, _)) = text.split_once("?hash=") {
            return json!(format!("{path}?hash=<hash>"));
        }
        if let Some(token) = self.token(text) {
            return token;
        }
        json!(self.text(text))
    }

    /// Chosen values inside of a longer text.
    fn text(&self, text: &str) -> String {
        let mut out = times_replaced(text);
        for (name, symbol) in &self.names {
            out = out.replace(name.as_str(), symbol);
        }
        for (at, uid) in self.uids.iter().enumerate() {
            out = out.replace(uid.as_str(), &format!("<uid-{}>", at + 1));
        }
        if out.contains("address") || out.contains("clusterIP") {
            for (at, address) in self.addresses.iter().enumerate() {
                out = out.replace(address.as_str(), &format!("<address-{}>", at + 1));
            }
        }
        if ["esource version", "ResourceVersion", "resourceVersion"].iter().any(|word| out.contains(word)) {
            out = self.numbers_replaced(&out);
        }
        // Where upstream's source makes a scheme depends on how it was built.
        if let Some((before, rest)) = out.split_once("in scheme \"")
            && let Some((_, after)) = rest.split_once('"')
        {
            out = format!("{before}in scheme <scheme>{after}");
        }
        for prefix in self.prefixes() {
            out = suffix_replaced(&out, prefix);
        }
        suffix_replaced(&out, "kube-api-access-")
    }

    /// What generated names were asked to begin with.
    fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.sent.split("\"generateName\":\"").skip(1).filter_map(|rest| rest.split('"').next())
    }

    /// Versions in a message: numbers that were not sent, and are too large to be codes.
    fn numbers_replaced(&self, text: &str) -> String {
        const CODES: u64 = 20;
        let (mut out, mut digits) = (String::new(), String::new());
        for c in text.chars().map(Some).chain([None]) {
            if let Some(digit) = c.filter(char::is_ascii_digit) {
                digits.push(digit);
                continue;
            }
            let sent = || self.sent.split(|c: char| !c.is_ascii_digit()).any(|number| number == digits);
            let chosen = digits.parse::<u64>().is_ok_and(|number| number > CODES) && !sent();
            out.push_str(if chosen { "<version>" } else { &digits });
            digits.clear();
            out.extend(c);
        }
        out
    }

    /// A signed token as what it claims.
    fn token(&self, text: &str) -> Option<Value> {
        let (head, mut claims) = token_parts(text)?;
        for key in ["exp", "iat", "nbf"] {
            if let Some(seconds) = claims.get(key).and_then(Value::as_i64) {
                claims[key] = json!(offset(seconds));
            }
        }
        if let Some(after) = claims.pointer_mut("/kubernetes.io/warnafter")
            && let Some(seconds) = after.as_i64()
        {
            *after = json!(offset(seconds));
        }
        Some(json!({"token": {"alg": head.get("alg"), "claims": self.value("", &claims)}}))
    }
}

/// Head and claims of a signed token.
fn token_parts(text: &str) -> Option<(Value, Value)> {
    let parts: Vec<&str> = text.split('.').collect();
    let [head, claims, _] = parts[..] else { return None };
    let decoded = |part: &str| -> Option<Value> {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    Some((decoded(head)?, decoded(claims)?))
}

/// Lower-case hexadecimal in the shape 8-4-4-4-12, at this byte.
pub(crate) fn uid_at(text: &str, at: usize) -> Option<&str> {
    let found = text.get(at..at + 36)?;
    let right = found.bytes().enumerate().all(|(i, byte)| match i {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    });
    right.then_some(found)
}

/// Times about now, by their distance in tens of seconds, and whether they have microseconds.
fn times_replaced(text: &str) -> String {
    const SECONDS: usize = "2026-01-01T00:00:00Z".len();
    const MICROSECONDS: usize = "2026-01-01T00:00:00.000000Z".len();
    let stamp = |at: usize, length: usize| -> Option<String> {
        let found = text.get(at..at + length).filter(|found| found.ends_with('Z'))?;
        let symbol = offset(found.parse::<Timestamp>().ok()?.as_second());
        symbol.starts_with("<now").then(|| match length {
            SECONDS => symbol,
            _ => symbol.replace('>', " in microseconds>"),
        })
    };
    let (mut out, mut at) = (String::new(), 0);
    while let Some(c) = text[at..].chars().next() {
        let near = c == '2';
        let found =
            [SECONDS, MICROSECONDS].into_iter().filter(|_| near).find_map(|n| Some((stamp(at, n)?, n)));
        match found {
            Some((symbol, length)) => {
                out.push_str(&symbol);
                at += length;
            }
            None => {
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    out
}

fn offset(second: i64) -> String {
    let away = second - Timestamp::now().as_second();
    if away.abs() > DAY_S {
        return second.to_string();
    }
    // A case takes some seconds: what is that near is now.
    match (away as f64 / 10.0).round() as i64 * 10 {
        -40..=10 => "<now>".to_owned(),
        far if far > 0 => format!("<now+{far}>"),
        far => format!("<now{far}>"),
    }
}

/// What is generated behind a prefix.
pub(crate) fn suffix_replaced(text: &str, prefix: &str) -> String {
    let Some((before, after)) = text.split_once(prefix).filter(|_| !prefix.is_empty()) else {
        return text.to_owned();
    };
    let generated =
        after.len() >= SUFFIX_LONG && after.bytes().take(SUFFIX_LONG).all(|c| SUFFIX.contains(c as char));
    let (symbol, rest) = if generated { ("<suffix>", &after[SUFFIX_LONG..]) } else { ("", after) };
    format!("{before}{prefix}{symbol}{}", suffix_replaced(rest, prefix))
}
