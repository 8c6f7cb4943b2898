//! Role-based access control: [`Rule`]s, the [`Policy`] that indexes roles and bindings
//! by whom they are for, and the evaluation of a request against it.

mod decide;
pub mod escalation;
#[cfg(test)]
mod escalation_tests;
mod policy;
mod rule;
#[cfg(test)]
mod tests;

pub use policy::{Policy, RbacKind, RoleError, RoleRef, Subject};
pub use rule::Rule;
