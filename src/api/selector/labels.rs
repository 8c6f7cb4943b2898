//! Label selectors: `app=web,tier in (a, b),!legacy`, and the object form of workloads.

use std::fmt::Write as _;

use serde_json::Value;

use super::SelectorError;
use super::lexer::{Token, words};
use crate::names;

/// What a requirement asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It has none of the values, or there is no such label.
    NotIn,
    /// There is such a label.
    Exists,
    /// There is none.
    DoesNotExist,
    /// It is an integer above the value.
    Greater,
    /// It is an integer below the value.
    Less,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
    /// With which values, sorted.
    pub values: Vec<String>,
}

/// All of its requirements must hold; one without any matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    /// Sorted by key.
    pub requirements: Vec<Requirement>,
}

const BINARY: &str = "in, notin, =, ==, !=, gt, lt";

impl LabelSelector {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { words: words(text), at: 0 };
        let mut requirements = parser.selector().map_err(SelectorError)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Reads the object form, `matchLabels` and `matchExpressions`, of an object that was
    /// validated. Absent (`null`) matches nothing and is `None`.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let object = object.as_object()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut requirements = Vec::new();
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![text(value)],
            });
        }
        for expression in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let operator = match expression["operator"].as_str() {
                Some("In") => Operator::In,
                Some("NotIn") => Operator::NotIn,
                Some("Exists") => Operator::Exists,
                _ => Operator::DoesNotExist,
            };
            let mut values: Vec<_> =
                expression["values"].as_array().into_iter().flatten().map(text).collect();
            values.sort();
            requirements.push(Requirement { key: text(&expression["key"]), operator, values });
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Some(Self { requirements })
    }

    /// One that asks for exactly these labels, as a ReplicationController's or a Service's does.
    #[must_use]
    pub fn exactly(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        let mut requirements: Vec<_> = pairs
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![value.as_str().unwrap_or_default().to_owned()],
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object matches whose labels `label` looks up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key).as_deref()))
    }

    /// Whether an object's `metadata.labels` match.
    #[must_use]
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).and_then(Value::as_str).map(std::borrow::Cow::Borrowed))
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let has = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.first().and_then(|value| number(value));
        match self.operator {
            Operator::In => label.is_some_and(has),
            Operator::NotIn => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::Greater => label.and_then(number).zip(bound).is_some_and(|(have, want)| have > want),
            Operator::Less => label.and_then(number).zip(bound).is_some_and(|(have, want)| have < want),
        }
    }
}

/// The text form, as upstream prints it.
impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            let Requirement { key, operator, values } = requirement;
            let joined = values.join(",");
            match operator {
                Operator::In if values.len() == 1 => write!(f, "{key}={joined}")?,
                Operator::NotIn if values.len() == 1 => write!(f, "{key}!={joined}")?,
                Operator::In => write!(f, "{key} in ({joined})")?,
                Operator::NotIn => write!(f, "{key} notin ({joined})")?,
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::Greater => write!(f, "{key}>{joined}")?,
                Operator::Less => write!(f, "{key}<{joined}")?,
            }
        }
        Ok(())
    }
}

/// Recursive descent over the words; errors are upstream's texts.
struct Parser {
    words: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    /// The next word; where values stand, `in` and `notin` are ordinary names.
    fn look(&self, values: bool) -> (Token, String) {
        let (token, word) = self.words.get(self.at).cloned().unwrap_or((Token::End, String::new()));
        let named = values && matches!(token, Token::In | Token::NotIn);
        (if named { Token::Identifier } else { token }, word)
    }

    fn take(&mut self, values: bool) -> (Token, String) {
        let found = self.look(values);
        self.at += 1;
        found
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let (token, word) = self.look(true);
            match token {
                Token::Identifier | Token::Not => {
                    let read = self.requirement();
                    requirements.push(read.map_err(|error| format!("unable to parse requirement: {error}"))?);
                    match self.take(true) {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => {
                            let (next, word) = self.look(true);
                            if !matches!(next, Token::Identifier | Token::Not) {
                                return Err(format!("found '{word}', expected: identifier after ','"));
                            }
                        }
                        (_, word) => return Err(format!("found '{word}', expected: ',' or 'end of string'")),
                    }
                }
                Token::End => return Ok(requirements),
                _ => return Err(format!("found '{word}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take(true);
        let absent = token == Token::Not;
        if absent {
            (token, key) = self.take(true);
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        refuse("<nil>", &key, &names::label_key(&key))?;
        let ends = matches!(self.look(true).0, Token::End | Token::Comma);
        if absent || ends {
            let operator = if absent { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: Vec::new() });
        }
        let (token, word) = self.take(false);
        let (operator, values) = match token {
            Token::In => (Operator::In, self.list()?),
            Token::NotIn => (Operator::NotIn, self.list()?),
            Token::Equals | Token::DoubleEquals => (Operator::In, vec![self.value()?]),
            Token::NotEquals => (Operator::NotIn, vec![self.value()?]),
            Token::Greater => (Operator::Greater, vec![self.value()?]),
            Token::Less => (Operator::Less, vec![self.value()?]),
            _ => return Err(format!("found '{word}', expected: {BINARY}")),
        };
        check_values(&key, operator, &values)?;
        Ok(Requirement { key, operator, values })
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(true) {
            (Token::Identifier, word) => Ok(word),
            (_, word) => Err(format!("found '{word}', expected: identifier")),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        let (token, word) = self.take(true);
        if token != Token::Open {
            return Err(format!("found '{word}' expected: '('"));
        }
        let (token, word) = self.look(true);
        let mut values = match token {
            Token::Identifier | Token::Comma => self.identifiers()?,
            Token::Close => vec![String::new()],
            _ => return Err(format!("found '{word}', expected: ',', ')' or identifier")),
        };
        if self.take(true).0 != Token::Close {
            return Err(format!("found '{word}', expected: ')'"));
        }
        values.sort();
        values.dedup();
        Ok(values)
    }

    /// Up to the closing bracket, which stays.
    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            match self.take(true) {
                (Token::Identifier, word) => {
                    values.push(word);
                    match self.look(true) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, word) => return Err(format!("found '{word}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.look(true).0 {
                        Token::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Token::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                (_, word) => return Err(format!("found '{word}', expected: ',', or identifier")),
            }
        }
    }
}

fn check_values(key: &str, operator: Operator, values: &[String]) -> Result<(), String> {
    let mut errors = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if matches!(operator, Operator::Greater | Operator::Less) && value.parse::<i64>().is_err() {
            let said = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(format!("values[{at}]: Invalid value: {value:?}: {said}"));
        }
        if let Err(said) = refuse(&format!("values[{at}][{key}]"), value, &names::label_value(value)) {
            errors.push(said);
        }
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(format!("[{}]", errors.join(", "))),
    }
}

fn refuse(path: &str, value: &str, problems: &[String]) -> Result<(), String> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{path}: Invalid value: {value:?}: {}", problems.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).expect(selector).matches_labels(labels)
    }

    #[test]
    fn each_operator_matches_as_upstream_says() {
        let labels = serde_json::json!({"app": "web", "tier": "", "size": "10", "in": "x"});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier=", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("other notin (a)", true),
            ("app,!other", true),
            ("!app", false),
            ("size>9", true),
            ("size<10", false),
            ("app>9", false),
            ("tier in ()", true),
            ("tier in (,a)", true),
            ("in in (x)", true),
            ("app=in", false),
        ];
        for (selector, expected) in cases {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_upstreams_words() {
        let cases = [
            ("app=web,", "found '', expected: identifier after ','"),
            (",", "found ',', expected: !, identifier, or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (selector, expected) in cases {
            assert_eq!(LabelSelector::parse(selector).expect_err(selector).0, expected, "{selector}");
        }
    }

    #[test]
    fn the_object_form_and_the_text_form_mean_the_same() {
        let object = serde_json::json!({"matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a"]},
                                 {"key": "x", "operator": "Exists"}]});
        let selector = LabelSelector::of(&object).expect("a selector");
        assert_eq!(selector.to_string(), "app=web,tier notin (a,b),x");
        assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        assert_eq!(LabelSelector::of(&Value::Null), None);
    }
}
