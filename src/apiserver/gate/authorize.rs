//! Whether a request may be done: RBAC and nodes, kept up to date out of the cache.
//!
//! The policy follows the shelves of the kinds it is made of by cursors, and catches up when
//! a decision is asked for: it is never older than the cache is.

use std::sync::{Arc, PoisonError, RwLock};

use access::node::NodeKind;
use access::rbac::RbacKind;
use access::{Attributes, Authorizer, Decision, User};
use serde_json::Value;

use crate::cache::{Cache, Change, Entry, Shelf, Watched, feed::PREFIX};

/// What a followed kind is to the policy.
#[derive(Debug, Clone, Copy)]
enum Part {
    Rbac(RbacKind),
    Node(NodeKind),
}

const PARTS: &[(&str, Part)] = &[
    ("roles", Part::Rbac(RbacKind::Role)),
    ("clusterroles", Part::Rbac(RbacKind::ClusterRole)),
    ("rolebindings", Part::Rbac(RbacKind::RoleBinding)),
    ("clusterrolebindings", Part::Rbac(RbacKind::ClusterRoleBinding)),
    ("pods", Part::Node(NodeKind::Pod)),
    ("persistentvolumes", Part::Node(NodeKind::PersistentVolume)),
    ("volumeattachments", Part::Node(NodeKind::VolumeAttachment)),
    ("resourceslices", Part::Node(NodeKind::ResourceSlice)),
    ("podcertificaterequests", Part::Node(NodeKind::PodCertificateRequest)),
];

/// Events taken up in one go.
const STEP: usize = 1024;

#[derive(Debug)]
struct Followed {
    part: Part,
    shelf: Arc<Shelf>,
    cursor: u64,
    loaded: bool,
}

#[derive(Debug, Default)]
struct Inner {
    authorizer: Authorizer,
    followed: Vec<Followed>,
}

/// All authorizers over the cache.
#[derive(Debug)]
pub struct Gate {
    inner: RwLock<Inner>,
}

impl Gate {
    /// One that follows `cache`.
    #[must_use]
    pub fn new(cache: &Cache) -> Self {
        let follow = |(key, part): &(&str, Part)| {
            let shelf = cache.shelf(&format!("{PREFIX}{key}/"))?;
            Some(Followed { part: *part, shelf, cursor: 0, loaded: false })
        };
        let followed = PARTS.iter().filter_map(follow).collect();
        Self { inner: RwLock::new(Inner { authorizer: Authorizer::default(), followed }) }
    }

    /// Whether a user may do what is asked.
    pub fn decide(&self, user: &User, asked: &Attributes<'_>) -> Decision {
        self.with(|authorizer| authorizer.decide(user, asked))
    }

    /// Looks into the policy as it is now.
    pub fn with<T>(&self, look: impl FnOnce(&Authorizer) -> T) -> T {
        {
            let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
            if inner.followed.iter().all(|kind| kind.loaded && kind.cursor == kind.shelf.next()) {
                return look(&inner.authorizer);
            }
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { authorizer, followed } = &mut *inner;
        while !followed.iter_mut().all(|kind| kind.catch_up(authorizer)) {
            *authorizer = Authorizer::default();
            followed.iter_mut().for_each(|kind| kind.loaded = false);
        }
        look(authorizer)
    }
}

impl Followed {
    /// Takes up what happened. False if some of it can no longer be told.
    fn catch_up(&mut self, authorizer: &mut Authorizer) -> bool {
        loop {
            if !self.loaded {
                let snapshot = self.shelf.list("");
                for entry in &snapshot.entries {
                    self.put(authorizer, entry);
                }
                self.cursor = snapshot.next;
                self.loaded = true;
            }
            match self.shelf.events(self.cursor, STEP) {
                Watched::Events(events, next) => {
                    self.cursor = next;
                    if events.is_empty() {
                        return true;
                    }
                    for event in events {
                        match event.change {
                            Change::Deleted => self.remove(authorizer, &event.entry),
                            _ => self.put(authorizer, &event.entry),
                        }
                    }
                }
                // What went meanwhile is not told, and what stays behind would allow too much:
                // everything begins anew.
                Watched::TooSlow => return false,
            }
        }
    }

    fn put(&self, authorizer: &mut Authorizer, entry: &Entry) {
        let Ok(object) = serde_json::from_slice::<Value>(entry.bytes()) else { return };
        match self.part {
            Part::Rbac(kind) => authorizer.policy.put(kind, &object),
            Part::Node(kind) => authorizer.nodes.graph.put(kind, &object),
        }
    }

    fn remove(&self, authorizer: &mut Authorizer, entry: &Entry) {
        match self.part {
            Part::Rbac(kind) => authorizer.policy.remove(kind, entry.namespace(), entry.name()),
            Part::Node(kind) => authorizer.nodes.graph.remove(kind, entry.namespace(), entry.name()),
        }
    }
}
