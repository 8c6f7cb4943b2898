//! Acting as another: what the headers ask for, and whether it may be done. Upstream's
//! constrained modes are tried first, each of which needs leave to impersonate and leave
//! to do this very thing while impersonating; the old mode, one verb for everything, last.

use std::collections::BTreeMap;

use api::field_error::{Errors, Path, quote};
use api::names::dns1123_subdomain;
use api::status::Status;

use crate::forbidden::forbidden;
use crate::user::{
    ANONYMOUS, AUTHENTICATED, EXTRA_NODE_NAME, MASTERS, NODES, UNAUTHENTICATED, service_account_groups,
    split_node, split_service_account,
};
use crate::{Attributes, Authorizer, Decision, User};

const AUTHENTICATION: &str = "authentication.k8s.io";
/// From so many on, leave for all of them together is asked for first.
const MANY: usize = 4;

/// Who is acted as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonated {
    /// With the groups that the API server adds.
    pub user: User,
    /// For audit: the verb that allowed it; empty for the old mode.
    pub constraint: &'static str,
}

/// Whom the request's headers ask to act as; none if they do not. Names of headers are in
/// lower case. The server drops these headers afterwards: nothing further may see them.
/// A value that is not text is refused: passed over, the request would be made as who asks.
pub fn wanted<'a, V: AsRef<[u8]>>(
    headers: impl Iterator<Item = (&'a str, V)>,
) -> Result<Option<User>, Status> {
    let (mut user, mut asked) = (User::default(), false);
    for (name, value) in headers {
        let Some(part) = name.strip_prefix("impersonate-") else { continue };
        let value = std::str::from_utf8(value.as_ref());
        let value = value.map_err(|_| Status::bad_request(format!("the header {name} is not UTF-8")))?;
        match part {
            "user" if user.name.is_empty() => value.clone_into(&mut user.name),
            "uid" if user.uid.is_empty() => value.clone_into(&mut user.uid),
            "group" => user.groups.push(value.to_owned()),
            _ => {
                let Some(key) = part.strip_prefix("extra-") else { continue };
                user.extra.entry(unescaped(key)).or_default().push(value.to_owned());
            }
        }
        asked |= !value.is_empty() || matches!(part, "group") || part.starts_with("extra-");
    }
    match (asked, user.name.is_empty()) {
        (false, _) => Ok(None),
        (true, false) => Ok(Some(user)),
        (true, true) => {
            let told = go_syntax(&user);
            Err(Status::bad_request(format!("requested {told} without impersonating a user name")))
        }
    }
}

/// Whether the requestor may do what is asked as `wanted`, and as whom exactly.
pub fn impersonate(
    authorizer: &Authorizer,
    requestor: &User,
    wanted: &User,
    asked: &Attributes,
) -> Result<Impersonated, Status> {
    let mut refusal = None;
    for mode in &MODES {
        if !(mode.applies)(requestor, wanted) {
            continue;
        }
        let attempt = Attempt { authorizer, requestor, wanted, mode };
        match attempt.check(asked) {
            Ok(user) => return Ok(Impersonated { user, constraint: mode.constraint }),
            // Upstream tries first by which way a requestor last succeeded, and tells that
            // way's refusal. Who may act as this user by the old verb is told what else it
            // lacks, whatever it did before.
            Err(status) if refusal.is_none() || attempt.has_leave_by_the_old_verb() => {
                refusal = Some(status);
            }
            Err(_) => {}
        }
    }
    // The old mode always applies, so there is a refusal.
    Err(refusal.unwrap_or_else(|| forbidden(requestor, asked, "")))
}

/// One way of acting as another.
struct Mode {
    name: &'static str,
    verb: &'static str,
    constraint: &'static str,
    applies: fn(&User, &User) -> bool,
}

const MODES: [Mode; 5] = [
    Mode {
        name: "associated-node",
        verb: "impersonate:associated-node",
        constraint: "impersonate:associated-node",
        applies: |requestor, wanted| {
            let own = requestor.only_extra(EXTRA_NODE_NAME);
            let node = split_node(&wanted.name);
            let is_account = split_service_account(&requestor.name).is_some();
            is_bare(wanted) && is_account && node.is_some() && node == own
        },
    },
    Mode {
        name: "arbitrary-node",
        verb: "impersonate:arbitrary-node",
        constraint: "impersonate:arbitrary-node",
        applies: |_, wanted| is_bare(wanted) && split_node(&wanted.name).is_some(),
    },
    Mode {
        name: "serviceaccount",
        verb: "impersonate:serviceaccount",
        constraint: "impersonate:serviceaccount",
        applies: |_, wanted| is_bare(wanted) && split_service_account(&wanted.name).is_some(),
    },
    Mode {
        name: "user-info",
        verb: "impersonate:user-info",
        constraint: "impersonate:user-info",
        applies: |_, wanted| {
            split_node(&wanted.name).is_none() && split_service_account(&wanted.name).is_none()
        },
    },
    Mode { name: "", verb: "impersonate", constraint: "", applies: |_, _| true },
];

/// Nothing but a name is asked for.
fn is_bare(wanted: &User) -> bool {
    wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty()
}

struct Attempt<'a> {
    authorizer: &'a Authorizer,
    requestor: &'a User,
    wanted: &'a User,
    mode: &'a Mode,
}

impl Attempt<'_> {
    fn is_constrained(&self) -> bool {
        !self.mode.name.is_empty()
    }

    fn has_leave_by_the_old_verb(&self) -> bool {
        !self.is_constrained() && self.check_name(&mut self.wanted.clone()).is_ok()
    }

    fn check(&self, asked: &Attributes) -> Result<User, Status> {
        if self.is_constrained() {
            let verb = format!("impersonate-on:{}:{}", self.mode.name, asked.verb);
            self.may(&Attributes { verb: &verb, ..*asked })?;
        }
        let mut user = self.wanted.clone();
        self.check_name(&mut user)?;
        if !user.uid.is_empty() {
            self.may(&self.part(AUTHENTICATION, "uids").named(&user.uid))?;
        }
        self.check_groups()?;
        self.check_extra()?;
        let added = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !user.is_in(added) && !user.is_in(UNAUTHENTICATED) {
            user.groups.push(added.to_owned());
        }
        Ok(user)
    }

    /// Leave for the name; the groups of nodes and service accounts are known by it.
    fn check_name(&self, user: &mut User) -> Result<(), Status> {
        let name = self.wanted.name.as_str();
        let group = if self.is_constrained() { AUTHENTICATION } else { "" };
        if let Some((namespace, account)) = split_service_account(name) {
            if self.wanted.groups.is_empty() {
                user.groups = service_account_groups(namespace);
            }
            return self.may(&self.part(group, "serviceaccounts").within(namespace).named(account));
        }
        match split_node(name).filter(|_| self.is_constrained()) {
            Some(node) => {
                user.groups = vec![NODES.to_owned()];
                // Leave to be one's own node is leave whichever node it is.
                let node = if self.mode.name == "associated-node" { "*" } else { node };
                self.may(&self.part(group, "nodes").named(node))
            }
            None => self.may(&self.part(group, "users").named(name)),
        }
    }

    fn check_groups(&self) -> Result<(), Status> {
        let groups = &self.wanted.groups;
        let group = if self.is_constrained() { AUTHENTICATION } else { "" };
        let asked = self.part(group, "groups");
        if self.is_constrained() {
            if groups.iter().any(String::is_empty) {
                let why = "impersonating the empty string group is not allowed";
                return Err(forbidden(self.requestor, &asked, why));
            }
            if groups.iter().any(|group| group == MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(forbidden(self.requestor, &asked.named(MASTERS), why));
            }
            if groups.len() >= MANY && self.may(&asked.named("*")).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.may(&asked.named(group)))
    }

    fn check_extra(&self) -> Result<(), Status> {
        let extra = &self.wanted.extra;
        let asked = self.part(AUTHENTICATION, "userextras");
        if self.is_constrained() && !extra.is_empty() {
            check_extra_form(extra).map_err(|why| forbidden(self.requestor, &asked, &why))?;
            let values: usize = extra.values().map(Vec::len).sum();
            let many = extra.len() >= MANY || values >= MANY;
            if many && self.may(&asked.part("*").named("*")).is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            values.iter().try_for_each(|value| self.may(&asked.part(key).named(value)))?;
        }
        Ok(())
    }

    fn part<'a>(&'a self, group: &'a str, resource: &'a str) -> Attributes<'a> {
        Attributes { version: "v1", ..Attributes::resource(self.mode.verb, group, resource) }
    }

    fn may(&self, asked: &Attributes) -> Result<(), Status> {
        match self.authorizer.decide(self.requestor, asked) {
            Decision::Allow { .. } => Ok(()),
            Decision::NoOpinion { reason } => Err(forbidden(self.requestor, asked, &reason)),
        }
    }
}

/// What the constrained modes ask of extras.
fn check_extra_form(extra: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    for (key, values) in extra {
        if key.is_empty() {
            return Err("impersonating the empty string key in extra is not allowed".to_owned());
        }
        let wrong = domain_prefixed_path(key);
        if !wrong.is_empty() {
            let wrong = crate::words::aggregate(&wrong);
            return Err(format!("impersonating an invalid key in extra is not allowed: {wrong}"));
        }
        if *key != key.to_lowercase() {
            let key = quote(key);
            return Err(format!("impersonating a non-lowercase key in extra is not allowed: {key}"));
        }
        if values.is_empty() {
            return Err("impersonating empty values in extra is not allowed".to_owned());
        }
        if values.iter().any(String::is_empty) {
            return Err("impersonating the empty string value in extra is not allowed".to_owned());
        }
    }
    Ok(())
}

/// What is wrong with a key that should be `acme.io/foo`.
fn domain_prefixed_path(key: &str) -> Vec<String> {
    let path = Path::of("extra.key");
    let mut errors = Errors::new();
    match key.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty()) {
        None => errors.invalid_as(&path, key, r#"must be a domain-prefixed path (such as "acme.io/foo")"#),
        Some((domain, rest)) => {
            for wrong in dns1123_subdomain(domain) {
                errors.invalid_as(&path, domain, wrong);
            }
            let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(is_path) {
                let form = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.invalid_as(&path, rest, form);
            }
        }
    }
    errors.lines()
}

/// `%2f` and the like, decoded; what cannot be decoded stays as it is.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return key.to_owned();
        };
        bytes.push(byte);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// The user as upstream's message prints it.
fn go_syntax(user: &User) -> String {
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| quote(item)).collect();
        format!("[]string{{{}}}", items.join(", "))
    };
    let groups = if user.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&user.groups) };
    let extra = match user.extra.is_empty() {
        true => "map[string][]string(nil)".to_owned(),
        false => {
            let of = user.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), list(values)));
            format!("map[string][]string{{{}}}", of.collect::<Vec<_>>().join(", "))
        }
    };
    let (name, uid) = (quote(&user.name), quote(&user.uid));
    format!("&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{groups}, Extra:{extra}}}")
}

#[cfg(test)]
#[path = "impersonate_tests.rs"]
mod tests;
