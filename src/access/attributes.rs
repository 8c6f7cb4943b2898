//! What is asked for, as authorizers see it (upstream's `authorizer.Attributes`), and
//! what they answer.

/// One request, borrowed from wherever the server keeps its parts. `..Default::default()`
/// fills what a request has not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`,
    /// a special verb (`bind`), or for other paths the method in lower case.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version; `*` where any is meant.
    pub version: &'a str,
    /// Plural name of the resource.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for cluster scope.
    pub namespace: &'a str,
    /// Empty for collections, and for creates whose name is not known yet. A list or
    /// watch with a field selector `metadata.name=X` carries X here.
    pub name: &'a str,
    /// The URL's path; policy looks at it where `resource_request` is false.
    pub path: &'a str,
    /// Whether this is about a resource or about a bare path.
    pub resource_request: bool,
    /// The parsed `fieldSelector` of a list, watch or deletecollection.
    pub field_selector: &'a [FieldRequirement],
}

impl<'a> Attributes<'a> {
    /// `verb` on a resource, in the API group, cluster-wide and without a name.
    pub fn resource(verb: &'a str, group: &'a str, resource: &'a str) -> Attributes<'a> {
        Attributes { verb, group, version: "*", resource, resource_request: true, ..Attributes::default() }
    }

    /// `verb` on a path that is no resource's.
    pub fn path(verb: &'a str, path: &'a str) -> Attributes<'a> {
        Attributes { verb, path, ..Attributes::default() }
    }

    /// The same in a namespace.
    pub fn within(self, namespace: &'a str) -> Attributes<'a> {
        Attributes { namespace, ..self }
    }

    /// The same for one object.
    pub fn named(self, name: &'a str) -> Attributes<'a> {
        Attributes { name, ..self }
    }

    /// The same for a part of the object.
    pub fn part(self, subresource: &'a str) -> Attributes<'a> {
        Attributes { subresource, ..self }
    }
}

/// One term of a field selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// `spec.nodeName`
    pub field: String,
    /// Whether the field must be the value, or must not.
    pub equal: bool,
    /// May be empty.
    pub value: String,
}

/// What an authorizer, or all of them in turn, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes, and why: for audit, and for access reviews.
    Allow {
        /// May be empty.
        reason: String,
    },
    /// No authorizer says yes: the request is forbidden.
    NoOpinion {
        /// What each authorizer has to say on it; a part of the message to the client.
        reason: String,
    },
}

impl Decision {
    /// Yes, because.
    pub fn allow(reason: impl Into<String>) -> Decision {
        Decision::Allow { reason: reason.into() }
    }

    /// Not yes, because.
    pub fn no_opinion(reason: impl Into<String>) -> Decision {
        Decision::NoOpinion { reason: reason.into() }
    }

    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow { .. })
    }

    /// The reason either way.
    pub fn reason(&self) -> &str {
        match self {
            Decision::Allow { reason } | Decision::NoOpinion { reason } => reason,
        }
    }
}
