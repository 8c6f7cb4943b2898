//! A request against the policy: which of the user's bindings allows it, all rules that
//! are the user's, and the words of both.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::policy::{Binding, RoleError, Scope};
use super::{Policy, Rule, Subject};
use crate::words::aggregate;
use crate::{Attributes, Decision, User};
use api::field_error::quote;

impl Policy {
    /// Whether RBAC allows the request.
    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let mut errors = Vec::new();
        let found = self.visit(user, asked.namespace, &mut errors, |binding, rules| {
            match rules.iter().any(|rule| rule.allows(asked)) {
                true => ControlFlow::Break(format!("RBAC: allowed by {}", binding.describe(user))),
                false => ControlFlow::Continue(()),
            }
        });
        match found {
            ControlFlow::Break(reason) => Decision::Allow { reason },
            ControlFlow::Continue(()) if errors.is_empty() => Decision::no_opinion(""),
            ControlFlow::Continue(()) => {
                let told: Vec<String> = errors.iter().map(RoleError::told).collect();
                Decision::no_opinion(format!("RBAC: {}", aggregate(&told)))
            }
        }
    }

    /// Every rule that is the user's in a namespace (empty: cluster-wide ones only), and
    /// the errors met on the way to them.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<RoleError>) {
        let (mut all, mut errors, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        let _: ControlFlow<()> = self.visit(user, namespace, &mut errors, |binding, rules| {
            if seen.insert((binding.namespace.clone(), binding.name.clone())) {
                all.extend(rules.iter().cloned());
            }
            ControlFlow::Continue(())
        });
        (all, errors)
    }

    /// Shows each binding of the user with its role's rules until one breaks off. A
    /// binding that names the user twice is shown twice.
    fn visit<B>(
        &self,
        user: &User,
        namespace: &str,
        errors: &mut Vec<RoleError>,
        mut see: impl FnMut(&Binding, &Arc<[Rule]>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let local = (!namespace.is_empty()).then(|| self.namespaces.get(namespace)).flatten();
        for scope in [Some(&self.cluster), local].into_iter().flatten() {
            for binding in scope.of(user) {
                match self.rules_of(&binding.role, &binding.namespace) {
                    Ok(rules) => see(binding, &rules)?,
                    Err(error) => errors.push(error),
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Scope {
    /// The bindings of the user, then those of each of its groups.
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Binding> {
        let own = self.by_user.get(user.name.as_str());
        let of_groups = user.groups.iter().filter_map(|group| self.by_group.get(group.as_str()));
        own.into_iter().chain(of_groups).flat_map(|bindings| bindings.values().map(|binding| &**binding))
    }
}

impl Binding {
    /// `ClusterRoleBinding "x" of ClusterRole "y" to User "z"`
    fn describe(&self, user: &User) -> String {
        let (kind, name) = match &*self.namespace {
            "" => ("ClusterRoleBinding", quote(&self.name)),
            namespace => ("RoleBinding", quote(&format!("{}/{namespace}", self.name))),
        };
        let role = format!("{} {}", self.role.kind, quote(&self.role.name));
        format!("{kind} {name} of {role} to {}", self.describe_subject(user))
    }

    /// The first subject of the binding that the user is.
    fn describe_subject(&self, user: &User) -> String {
        let is_user = |subject: &&Subject| subject.key(&self.namespace).is_some_and(|key| key.is(user));
        let subject = self.subjects.iter().find(is_user);
        let Some(subject) = subject else { return String::new() };
        let own = subject.namespace.as_str();
        let namespace = if own.is_empty() { &*self.namespace } else { own };
        match subject.kind.as_str() {
            "ServiceAccount" => format!("ServiceAccount {}", quote(&format!("{}/{namespace}", subject.name))),
            kind => format!("{kind} {}", quote(&subject.name)),
        }
    }
}
