//! Fields that a door does not let its writers own, because it puts them back: status on the
//! object itself, everything else on its status.

use super::element::Element;
use super::set::{FieldSet, Node};

/// Upstream's reset fields of one endpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Reset {
    /// Everything written is owned.
    #[default]
    Nothing,
    /// These fields, and what is below them, are not.
    Fields(FieldSet),
    /// Only what is below these paths is; `*` is any element.
    AllBut(Vec<Vec<String>>),
}

impl Reset {
    /// Fields that are put back, each by its dotted path: `metadata.labels`.
    #[must_use]
    pub fn fields<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let fields = FieldSet::of_fields(paths);
        if fields.is_empty() { Self::Nothing } else { Self::Fields(fields) }
    }

    /// The only fields that are not put back: `spec.containers.*.resources`.
    #[must_use]
    pub fn all_but<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let paths = paths.into_iter().map(|path| path.split('.').map(str::to_owned).collect());
        Self::AllBut(paths.collect())
    }

    /// What upstream's strategies of a kind put back at one door of it. `has_status` tells
    /// whether the kind has the subresource `status`; custom resources are kinds like others.
    #[must_use]
    pub fn of(group: &str, kind: &str, subresource: &str, has_status: bool) -> Self {
        match (subresource, group, kind) {
            ("", "certificates.k8s.io", "CertificateSigningRequest") => Self::fields(["spec", "status"]),
            ("", ..) if has_status => Self::fields(["status"]),
            ("status", "certificates.k8s.io", "CertificateSigningRequest") => {
                Self::fields(["spec", "status.conditions"])
            }
            ("approval", "certificates.k8s.io", _) => Self::fields(["spec", "status.certificate"]),
            ("finalize", ..) => Self::fields(["status"]),
            ("ephemeralcontainers", ..) => Self::all_but(["spec.ephemeralContainers"]),
            ("resize", ..) => Self::all_but([
                "spec.containers.*.resources",
                "spec.containers.*.resizePolicy",
                "spec.initContainers.*.resources",
                "spec.initContainers.*.resizePolicy",
            ]),
            ("status", "", "Pod") => {
                Self::fields(["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"])
            }
            ("status", "apps", "Deployment") => Self::fields(["spec", "metadata.labels"]),
            ("status", "" | "apps" | "autoscaling" | "batch" | "policy", _)
            | ("status", "networking.k8s.io", "Ingress") => Self::fields(["spec"]),
            ("status", ..) => Self::fields(["spec", "metadata"]),
            _ => Self::Nothing,
        }
    }

    pub(super) fn apply(&self, set: &mut FieldSet) {
        match self {
            Self::Nothing => {}
            Self::Fields(fields) => set.subtract_whole(fields),
            Self::AllBut(paths) => {
                let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
                keep_only(set, &paths);
            }
        }
    }
}

fn keep_only(set: &mut FieldSet, paths: &[&[String]]) {
    set.nodes.retain_mut(|node| {
        let inner: Vec<&[String]> = paths.iter().filter_map(|path| step(path, &node.element)).collect();
        // A path that ends here keeps all that is below; members on the way are kept too.
        if inner.is_empty() {
            return false;
        }
        if !inner.iter().any(|rest| rest.is_empty()) {
            keep_only(&mut node.below, &inner);
        }
        let Node { member, below, .. } = node;
        *member || !below.is_empty()
    });
}

fn step<'p>(path: &'p [String], element: &Element) -> Option<&'p [String]> {
    let (first, rest) = path.split_first()?;
    let matches = first == "*" || matches!(element, Element::Field(name) if **name == **first);
    matches.then_some(rest)
}
