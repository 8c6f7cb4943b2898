//! What an apply that meets others' fields is told.

use super::element::Element;
use super::entries::Manager;
use super::set::FieldSet;
use crate::patch::words;
use crate::status::{Cause, Status};

/// Fields that others own and the applied object changes, by manager.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflicts {
    pub(super) by_manager: Vec<(Manager, FieldSet)>,
}

impl Conflicts {
    /// All fields together.
    pub(super) fn all(&self) -> FieldSet {
        self.by_manager.iter().fold(FieldSet::default(), |all, (_, set)| all.union(set.clone()))
    }

    /// Without the fields of a set.
    pub(super) fn without(mut self, allowed: &FieldSet) -> Self {
        for (_, set) in &mut self.by_manager {
            set.subtract(allowed);
        }
        self.by_manager.retain(|(_, set)| !set.is_empty());
        self
    }

    /// Each field with the manager that owns it, in upstream's order of managers.
    fn each(&self) -> Vec<(String, String)> {
        let mut sorted: Vec<_> = self.by_manager.iter().collect();
        sorted.sort_by_key(|(manager, _)| manager.identifier());
        let mut all = Vec::new();
        for (manager, set) in sorted {
            let who = shown(manager);
            set.each(&mut |path: &[Element]| {
                all.push((who.clone(), path.iter().map(ToString::to_string).collect()));
            });
        }
        all
    }

    /// The answer: 409, with a cause for every field.
    #[must_use]
    pub fn status(&self) -> Status {
        let all = self.each();
        let message = match all.as_slice() {
            [(who, path)] => format!("Apply failed with 1 conflict: conflict with {who}: {path}"),
            all => {
                let mut lines = Vec::new();
                let mut last = "";
                for (who, path) in all {
                    if who != last {
                        lines.push(format!("conflicts with {who}:"));
                        last = who;
                    }
                    lines.push(format!("- {path}"));
                }
                format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
            }
        };
        let cause = |(who, field)| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {who}"),
            field,
        };
        Status::apply_conflict(all.into_iter().map(cause).collect(), message)
    }
}

fn shown(manager: &Manager) -> String {
    let mut text = words::quoted(&manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource {}", words::quoted(&manager.subresource));
    }
    if !manager.applies {
        text = format!("{text} using {}", manager.update_version);
    }
    text
}
