//! The decoder's hands: takes values out of the tree by the kind they should be and notes
//! everything that is not so.

use super::super::OrAuto;
use super::super::diagnostic::Mistake;
use super::super::rules::{Checked, shown};
use super::super::tree::{Key, Node, Place, Value, lines, quoted};
use super::fields;

/// A mistake and where it is.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) mistake: Mistake,
}

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct At<'t> {
    pub(super) path: String,
    pub(super) node: &'t Node,
}

/// The fields of one mapping.
#[derive(Debug)]
pub(super) struct Fields<'t> {
    /// The mapping itself, for what is missing in it.
    pub(super) whole: At<'t>,
    entries: &'t [(Key, Node)],
}

/// Notes mistakes while values are taken out.
pub(super) struct Reader<'s> {
    text: Vec<&'s str>,
    found: Vec<Found>,
}

impl<'t> At<'t> {
    pub(super) fn root(node: &'t Node) -> Self {
        Self { path: String::new(), node }
    }

    fn field(&self, name: &str, node: &'t Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, node }
    }

    fn item(&self, index: usize, node: &'t Node) -> Self {
        Self { path: format!("{}[{index}]", self.path), node }
    }
}

impl<'t> Fields<'t> {
    pub(super) fn get(&self, name: &str) -> Option<At<'t>> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| self.whole.field(name, node))
    }

    /// Whether an unknown field was probably meant to be this one: then that is said already.
    pub(super) fn has_misspelt(&self, name: &str) -> bool {
        let known = fields::fields_of(&self.whole.path);
        self.entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.name.as_str()))
            .any(|(key, _)| fields::meant(&key.name, known) == Some(name))
    }

    /// Every entry, for mappings whose keys are the user's.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t Key, At<'t>)> {
        let whole = self.whole.clone();
        self.entries.iter().map(move |(key, node)| (key, whole.field(&key.name, node)))
    }
}

impl<'s> Reader<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self { text: lines(text), found: Vec::new() }
    }

    pub(super) fn found(self) -> Vec<Found> {
        self.found
    }

    /// Whether nothing was noted at `path` or below it.
    pub(super) fn clean(&self, path: &str) -> bool {
        !self.found.iter().any(|found| {
            found.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    pub(super) fn wrong(&mut self, at: &At<'_>, mistake: Mistake) {
        self.wrong_at(&at.path, at.node.place, mistake);
    }

    pub(super) fn wrong_at(&mut self, path: &str, place: Place, mistake: Mistake) {
        let said = |found: &Found| found.path == path && found.mistake == mistake;
        if self.found.iter().any(said) {
            return;
        }
        self.found.push(Found { path: path.to_owned(), place, mistake });
    }

    /// A mapping whose fields are known by its path; others are noted. Nothing at all is a
    /// mapping without fields.
    pub(super) fn mapping<'t>(&mut self, at: &At<'t>) -> Option<Fields<'t>> {
        let known = fields::fields_of(&at.path);
        let fields = self.any_mapping(at, &known.join(", "))?;
        for (key, _) in fields.entries {
            if !known.contains(&key.name.as_str()) {
                let path = at.field(&key.name, at.node).path;
                self.wrong_at(&path, key.place, fields::unknown(&at.path, &key.name));
            }
        }
        Some(fields)
    }

    /// A mapping whose keys are the user's; `content` says what belongs into it.
    pub(super) fn any_mapping<'t>(&mut self, at: &At<'t>, content: &str) -> Option<Fields<'t>> {
        match &at.node.value {
            Value::Null => Some(Fields { whole: at.clone(), entries: &[] }),
            Value::Mapping(entries) => Some(Fields { whole: at.clone(), entries }),
            _ => {
                let problem = format!("{} is not a mapping", self.described(at.node));
                let remedy = format!("write its fields below it, indented: {content}");
                self.wrong(at, Mistake::new(problem, remedy));
                None
            }
        }
    }

    /// A list of at most `most` items; `example` shows one.
    pub(super) fn list<'t>(&mut self, at: &At<'t>, most: usize, example: &str) -> Option<Vec<At<'t>>> {
        let items = match &at.node.value {
            Value::List(items) => items,
            Value::Null => {
                self.wrong(at, nothing());
                return None;
            }
            value => {
                let remedy = match value {
                    Value::Text(_) | Value::Integer(_) => {
                        format!("write a list, even of one: [{}]", self.raw(at.node))
                    }
                    _ => format!("write a list, such as {example}"),
                };
                let problem = format!("{} is not a list", self.described(at.node));
                self.wrong(at, Mistake::new(problem, remedy));
                return None;
            }
        };
        if items.len() > most {
            let problem = format!("the list has {} entries", items.len());
            self.wrong(at, Mistake::new(problem, format!("write at most {most}")));
            return None;
        }
        let item = |(index, node)| at.item(index, node);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text that keeps `rule`.
    pub(super) fn text<T>(&mut self, at: &At<'_>, rule: impl Fn(&str) -> Checked<T>) -> Option<T> {
        let checked = match &at.node.value {
            Value::Text(text) => rule(text),
            Value::Null => Err(nothing()),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                let raw = self.raw(at.node);
                // Quotes are a remedy only if the text would do.
                rule(&raw).and_then(|_| {
                    Err(Mistake::new(
                        format!("{raw} is {} here, not text", at.node.value.kind()),
                        format!("put it in quotes: {}", quoted(&raw)),
                    ))
                })
            }
            value => Err(Mistake::new(
                format!("{} stands where text belongs", value.kind()),
                "write a single value",
            )),
        };
        self.note(at, checked)
    }

    /// A whole number that keeps `rule`; `example` is one that does.
    pub(super) fn number<T>(
        &mut self,
        at: &At<'_>,
        example: &str,
        rule: impl Fn(i128) -> Checked<T>,
    ) -> Option<T> {
        let checked = match &at.node.value {
            Value::Integer(number) => rule(*number),
            Value::Null => Err(nothing()),
            Value::Text(text) => Err(match text.trim().parse::<i128>() {
                Ok(number) => Mistake::new(
                    format!("{} is text here, not a number", shown(text)),
                    format!("write {number} without quotes"),
                ),
                Err(_) => {
                    Mistake::new(format!("{} is not a number", shown(text)), format!("write {example}"))
                }
            }),
            _ => Err(Mistake::new(
                format!("{} is not a whole number", self.described(at.node)),
                format!("write {example}"),
            )),
        };
        self.note(at, checked)
    }

    /// `auto`, or a list each of whose items keeps `rule`, none twice.
    pub(super) fn auto_or_list<T: PartialEq>(
        &mut self,
        at: &At<'_>,
        sizes: std::ops::RangeInclusive<usize>,
        example: &str,
        rule: impl Fn(&str) -> Checked<T>,
    ) -> Option<OrAuto<Vec<T>>> {
        if let Value::Text(word) = &at.node.value {
            if word == "auto" {
                return Some(OrAuto::Auto);
            }
            let remedy = match rule(word) {
                Ok(_) => format!("write a list, even of one: [{word}]"),
                Err(_) => format!("write auto, or a list such as {example}"),
            };
            let problem = format!("{} is neither auto nor a list", shown(word));
            self.wrong(at, Mistake::new(problem, remedy));
            return None;
        }
        let items = self.list(at, *sizes.end(), example)?;
        if items.len() < *sizes.start() {
            let remedy = format!("write auto, or a list such as {example}");
            self.wrong(at, Mistake::new("the list is empty", remedy));
            return None;
        }
        let texts = |reader: &mut Self, item: &At<'_>| reader.text(item, &rule);
        Some(OrAuto::Given(self.distinct(&items, texts)))
    }

    /// The items that `take` can read, each noted if it came before.
    pub(super) fn distinct<'t, T: PartialEq>(
        &mut self,
        items: &[At<'t>],
        take: impl Fn(&mut Self, &At<'t>) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let Some(value) = take(self, item) else { continue };
            if values.contains(&value) {
                let problem = format!("{} is in the list twice", self.described(item.node));
                self.wrong(item, Mistake::new(problem, "leave one of them out"));
            } else {
                values.push(value);
            }
        }
        values
    }

    fn note<T>(&mut self, at: &At<'_>, checked: Checked<T>) -> Option<T> {
        checked.map_err(|mistake| self.wrong(at, mistake)).ok()
    }

    /// What stands there, for a message.
    pub(super) fn described(&self, node: &Node) -> String {
        match &node.value {
            Value::Text(text) => shown(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => self.raw(node),
            value => value.kind().to_owned(),
        }
    }

    /// A scalar as it is written: 0x10 stays 0x10.
    fn raw(&self, node: &Node) -> String {
        let line = self.text.get(node.place.line.saturating_sub(1));
        let raw: String = line
            .into_iter()
            .flat_map(|line| line.chars())
            .skip(node.place.column.saturating_sub(1))
            .take(node.place.length.min(60))
            .collect();
        raw.trim_end().to_owned()
    }
}

fn nothing() -> Mistake {
    Mistake::new("there is no value", "write one, or leave the whole line out for the default")
}
