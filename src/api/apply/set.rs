//! Sets of fields: a tree of path elements, each a member or only on the way to members.
//!
//! Written as FieldsV1: `{"f:spec":{".":{},"f:replicas":{}}}`. A leaf is a member; an element
//! with others below it is one only where it says `"."`.

use serde_json::{Map, Value};

use super::element::Element;

/// A set of fields. Its nodes are sorted, and none is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    pub(super) nodes: Vec<Node>,
}

/// An element, whether it is in the set itself, and what of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) element: Element,
    pub(super) member: bool,
    pub(super) below: FieldSet,
}

/// So many times shorter a set is looked up in the other instead of both being walked.
const MUCH: usize = 8;

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.nodes.is_empty()
    }
}

impl FieldSet {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A set of paths of plain fields, each written with dots: `spec.replicas`.
    #[must_use]
    pub fn of_fields<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for path in paths {
            let names: Vec<_> = path.split('.').collect();
            set.insert_fields(&names);
        }
        set
    }

    fn insert_fields(&mut self, names: &[&str]) {
        let Some((first, rest)) = names.split_first() else { return };
        let node = self.node(&Element::Field((*first).into()));
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert_fields(rest);
        }
    }

    /// Reads FieldsV1.
    ///
    /// # Errors
    /// What is not of that form, in words for people.
    pub fn read(fields: &Value) -> Result<Self, String> {
        match fields {
            Value::Null => Ok(Self::default()),
            Value::Object(members) => read(members).map(|(set, _)| set),
            other => Err(format!("expected an object of fields, got {other}")),
        }
    }

    /// Writes FieldsV1.
    #[must_use]
    pub fn written(&self) -> Value {
        Value::Object(self.members_written(false))
    }

    fn members_written(&self, with_self: bool) -> Map<String, Value> {
        let mut members = Map::with_capacity(self.nodes.len() + usize::from(with_self));
        if with_self && !self.nodes.is_empty() {
            members.insert(".".into(), Value::Object(Map::new()));
        }
        for node in &self.nodes {
            members.insert(node.element.written(), Value::Object(node.below.members_written(node.member)));
        }
        members
    }

    /// The node of an element, made if it is not there.
    pub(super) fn node(&mut self, element: &Element) -> &mut Node {
        let at = self.nodes.binary_search_by(|node| node.element.cmp(element)).unwrap_or_else(|at| {
            self.nodes.insert(at, Node { element: element.clone(), member: false, below: Self::default() });
            at
        });
        &mut self.nodes[at]
    }

    pub(super) fn get(&self, element: &Element) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| node.element.cmp(element)).ok()?;
        Some(&self.nodes[at])
    }

    pub(super) fn get_field(&self, name: &str) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| match &node.element {
            Element::Field(field) => (**field).cmp(name),
            _ => std::cmp::Ordering::Greater,
        });
        Some(&self.nodes[at.ok()?])
    }

    /// Whether a path is in it.
    #[must_use]
    pub fn contains(&self, path: &[Element]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(first)
            .is_some_and(|node| if rest.is_empty() { node.member } else { node.below.contains(rest) })
    }

    /// Appends a node that sorts after all others, if anything is in it.
    pub(super) fn push(&mut self, element: Element, member: bool, below: Self) {
        let node = Node { element, member, below };
        if !node.is_empty() {
            self.nodes.push(node);
        }
    }

    /// Sorts nodes that were pushed in any order, of different elements.
    pub(super) fn sort(&mut self) {
        self.nodes.sort_unstable_by(|a, b| a.element.cmp(&b.element));
    }

    /// Adds what is in another set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len() + other.nodes.len());
        let mut others = other.nodes.into_iter().peekable();
        for mut node in self.nodes {
            while let Some(before) = others.next_if(|it| it.element < node.element) {
                nodes.push(before);
            }
            if let Some(same) = others.next_if(|it| it.element == node.element) {
                node.member |= same.member;
                node.below = node.below.union(same.below);
            }
            nodes.push(node);
        }
        nodes.extend(others);
        Self { nodes }
    }

    /// All sets together, halves first: sets stay short for as long as they can.
    pub(super) fn union_of(mut sets: Vec<Self>) -> Self {
        while sets.len() > 1 {
            let mut pairs = sets.into_iter();
            let mut halves = Vec::new();
            while let Some(first) = pairs.next() {
                halves.push(first.union(pairs.next().unwrap_or_default()));
            }
            sets = halves;
        }
        sets.pop().unwrap_or_default()
    }

    /// Takes out the members of another set; what is below them stays.
    pub fn subtract(&mut self, other: &Self) {
        self.each_pair(other, |node, other| {
            node.member &= !other.member;
            node.below.subtract(&other.below);
        });
    }

    /// Takes out the members of another set with all that is below them.
    pub fn subtract_whole(&mut self, other: &Self) {
        self.each_pair(other, |node, other| {
            if other.member {
                node.member = false;
                node.below.nodes.clear();
            } else {
                node.below.subtract_whole(&other.below);
            }
        });
    }

    fn each_pair(&mut self, other: &Self, change: impl Fn(&mut Node, &Node)) {
        if other.is_empty() {
            return;
        }
        if self.nodes.len() < other.nodes.len() / MUCH {
            return self.nodes.retain_mut(|node| {
                if let Some(same) = other.get(&node.element) {
                    change(node, same);
                }
                !node.is_empty()
            });
        }
        let mut others = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while others.next_if(|it| it.element < node.element).is_some() {}
            match others.peek() {
                Some(same) if same.element == node.element => {
                    change(node, same);
                    !node.is_empty()
                }
                _ => true,
            }
        });
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        if other.nodes.len() < self.nodes.len() / MUCH {
            return other.intersection(self);
        }
        if self.nodes.len() < other.nodes.len() / MUCH {
            for node in &self.nodes {
                if let Some(same) = other.get(&node.element) {
                    let member = node.member && same.member;
                    both.push(node.element.clone(), member, node.below.intersection(&same.below));
                }
            }
            return both;
        }
        let mut others = other.nodes.iter().peekable();
        for node in &self.nodes {
            while others.next_if(|it| it.element < node.element).is_some() {}
            if let Some(same) = others.next_if(|it| it.element == node.element) {
                let member = node.member && same.member;
                both.push(node.element.clone(), member, node.below.intersection(&same.below));
            }
        }
        both
    }

    /// Calls back for every member with its path: at each depth first all members, then what
    /// is below each element. Upstream lists conflicts so.
    pub fn each(&self, call: &mut impl FnMut(&[Element])) {
        fn walk(set: &FieldSet, path: &mut Vec<Element>, call: &mut impl FnMut(&[Element])) {
            for node in set.nodes.iter().filter(|node| node.member) {
                path.push(node.element.clone());
                call(path);
                path.pop();
            }
            for node in set.nodes.iter().filter(|node| !node.below.is_empty()) {
                path.push(node.element.clone());
                walk(&node.below, path, call);
                path.pop();
            }
        }
        walk(self, &mut Vec::new(), call);
    }
}

/// The set below an element, and whether the element itself is a member.
fn read(members: &Map<String, Value>) -> Result<(FieldSet, bool), String> {
    let mut set = FieldSet::default();
    let mut with_self = false;
    let mut sorted = true;
    for (name, value) in members {
        if name == "." {
            with_self = true;
            continue;
        }
        let Some(element) = Element::read(name)? else { continue };
        let (below, member) = match value {
            Value::Object(members) => read(members)?,
            Value::Null => (FieldSet::default(), true),
            other => return Err(format!("expected an object of fields below {name}, got {other}")),
        };
        sorted &= set.nodes.last().is_none_or(|last| last.element < element);
        set.nodes.push(Node { element, member, below });
    }
    if !sorted {
        let nodes = std::mem::take(&mut set.nodes);
        for Node { element, member, below } in nodes {
            let node = set.node(&element);
            node.member |= member;
            node.below = std::mem::take(&mut node.below).union(below);
        }
    }
    let member = with_self || set.is_empty();
    Ok((set, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn set(fields: Value) -> FieldSet {
        FieldSet::read(&fields).unwrap()
    }

    #[test]
    fn what_is_read_is_written_sorted_and_what_is_unknown_is_passed_over() {
        let read = set(
            json!({"f:b": {"f:x": {}, ".": {}}, "f:a": {}, "x:later": {}, "k:{\"name\":\"c\"}": {"f:n": {}}}),
        );
        assert_eq!(
            read.written().to_string(),
            r#"{"f:a":{},"f:b":{".":{},"f:x":{}},"k:{\"name\":\"c\"}":{"f:n":{}}}"#
        );
        assert!(FieldSet::read(&json!([])).is_err() && FieldSet::read(&json!({"a": {}})).is_err());
    }

    #[test]
    fn a_parent_and_its_child_are_two_members() {
        let both = json!({"f:a": {".": {}, "f:b": {}}});
        let mut left = set(both.clone());
        left.subtract(&set(json!({"f:a": {}})));
        assert_eq!(left, set(json!({"f:a": {"f:b": {}}})));
        let mut left = set(both.clone());
        left.subtract_whole(&set(json!({"f:a": {}})));
        assert!(left.is_empty());
        assert_eq!(set(both).intersection(&set(json!({"f:a": {}}))), set(json!({"f:a": {}})));
        let mut paths = Vec::new();
        set(json!({"f:a": {"f:b": {}}, "f:c": {}}))
            .each(&mut |path| paths.push(path.iter().map(ToString::to_string).collect::<String>()));
        assert_eq!(paths, [".c", ".a.b"]);
    }

    /// Any field set, by its FieldsV1.
    pub(crate) fn fields() -> impl Strategy<Value = FieldSet> {
        let name = prop_oneof!["f:[a-d]", "v:[0-3]", Just("k:{\"name\":\"<x>\"}".to_string())];
        let leaf = Just(json!({}));
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop::collection::btree_map(name.clone(), inner, 0..5).prop_flat_map(|members| {
                any::<bool>().prop_map(move |own| {
                    let mut map: Map<String, Value> = members.clone().into_iter().collect();
                    if own && !map.is_empty() {
                        map.insert(".".into(), json!({}));
                    }
                    Value::Object(map)
                })
            })
        })
        .prop_map(|fields| FieldSet::read(&fields).unwrap())
    }

    proptest! {
        #[test]
        fn sets_round_trip_and_obey_the_algebra_of_sets(a in fields(), b in fields()) {
            prop_assert_eq!(FieldSet::read(&a.written()), Ok(a.clone()));
            let union = a.clone().union(b.clone());
            prop_assert_eq!(&union, &b.clone().union(a.clone()));
            let mut only_a = a.clone();
            only_a.subtract(&b);
            prop_assert_eq!(only_a.clone().union(a.intersection(&b)), a.clone());
            prop_assert!(only_a.intersection(&b).is_empty());
            prop_assert_eq!(&union.intersection(&a), &a);
            let mut rest = union;
            rest.subtract(&a);
            rest.subtract(&b);
            prop_assert!(rest.is_empty());
        }
    }
}
