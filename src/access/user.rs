//! Who is asking: upstream's `user.Info`, the names that mean something by themselves,
//! and how service accounts and nodes are spelled as users.

use std::collections::BTreeMap;

/// Whoever is in it may do everything; the way in before there is any policy.
pub const MASTERS: &str = "system:masters";
/// Every identified user is in it.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Who showed no evidence is in it.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of who showed no evidence.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// Every service account is in it.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// Extra key: the pod that a service account token is bound to.
pub const EXTRA_POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// Extra key: the bound pod's UID.
pub const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// Extra key: the node of the bound pod, or the bound node.
pub const EXTRA_NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Extra key: the UID of that node.
pub const EXTRA_NODE_UID: &str = "authentication.kubernetes.io/node-uid";
/// Extra key: `JTI=` and the token's id, or `X509SHA256=` and a certificate's digest.
pub const EXTRA_CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const NODE_PREFIX: &str = "system:node:";

/// An identified (or anonymous) user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// What policy and audit know the user by.
    pub name: String,
    /// Tells two users of one name apart in time; may be empty.
    pub uid: String,
    /// In the order they were learned.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of this name in these groups, without UID or extras.
    pub fn new(name: &str, groups: &[&str]) -> User {
        User {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        }
    }

    /// Who shows no evidence.
    pub fn anonymous() -> User {
        User::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// Whether the user is a member.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node this user is: named `system:node:NAME` and in `system:nodes`. The name
    /// may be empty, which is a node that cannot be told from another.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix(NODE_PREFIX)?;
        self.is_in(NODES).then_some(name)
    }

    /// The only value of an extra; none where there are several.
    pub fn only_extra(&self, key: &str) -> Option<&str> {
        match self.extra.get(key).map(Vec::as_slice) {
            Some([value]) => Some(value),
            _ => None,
        }
    }

    /// Adds the group of all identified users, once, unless the user is anonymous.
    pub fn authenticated(mut self) -> User {
        let exempt = self.name == ANONYMOUS || self.is_in(AUTHENTICATED) || self.is_in(UNAUTHENTICATED);
        if !exempt {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// The user name of a service account.
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The groups of a namespace's service accounts.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

/// Namespace and name of a service account by its user name; none for any other user.
/// Both must be names that the API would take.
pub fn split_service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (is_label(namespace) && is_subdomain(name)).then_some((namespace, name))
}

/// The node that a user name alone speaks of; none where the rest is no node's name.
pub fn split_node(username: &str) -> Option<&str> {
    username.strip_prefix(NODE_PREFIX).filter(|name| is_subdomain(name))
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(&a, &z)| inner(a) && inner(z));
    ends && bytes.len() <= 63 && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

/// A DNS subdomain (RFC 1123); its labels may be longer than 63 bytes, as upstream's.
fn is_subdomain(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(&a, &z)| inner(a) && inner(z));
        ends && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_known_by_a_wellformed_name_only() {
        for (username, expected) in [
            ("system:serviceaccount:default:builder", Some(("default", "builder"))),
            ("system:serviceaccount:default:a.b-c", Some(("default", "a.b-c"))),
            ("system:serviceaccount:default:", None),
            ("system:serviceaccount::builder", None),
            ("system:serviceaccount:default:a:b", None),
            ("system:serviceaccount:De:a", None),
            ("alice", None),
        ] {
            assert_eq!(split_service_account(username), expected, "{username}");
        }
    }

    #[test]
    fn a_node_is_one_by_name_and_by_group() {
        assert_eq!(User::new("system:node:a", &[NODES]).node_name(), Some("a"));
        assert_eq!(User::new("system:node:", &[NODES]).node_name(), Some(""));
        assert_eq!(User::new("system:node:a", &["others"]).node_name(), None);
        assert_eq!(User::new("a", &[NODES]).node_name(), None);
    }

    #[test]
    fn an_identified_user_is_authenticated_once_and_an_anonymous_one_never() {
        assert_eq!(User::new("a", &["b"]).authenticated().groups, ["b", AUTHENTICATED]);
        assert_eq!(User::new("a", &[AUTHENTICATED]).authenticated().groups, [AUTHENTICATED]);
        assert_eq!(User::anonymous().authenticated().groups, [UNAUTHENTICATED]);
    }
}
