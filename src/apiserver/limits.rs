//! Bounds on what clients can make the server do at once: requests in flight, watches and
//! tunnels of a user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use access::User;
use api::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Result;

/// Reads under way at once: upstream's number.
const READS: usize = 400;
/// Writes under way at once: upstream's number.
const WRITES: usize = 200;
/// Watches that one user may hold.
const WATCHES: usize = 20_000;
/// Connections to containers and proxies that one user may hold.
const TUNNELS: usize = 1_000;
/// When to come again.
const RETRY_SECONDS: u32 = 1;

/// What is under way.
#[derive(Debug)]
pub struct Limits {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    watches: Held,
    tunnels: Held,
}

/// How many of a thing each user holds.
type Held = Arc<Mutex<BTreeMap<String, usize>>>;

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS)),
            writes: Arc::new(Semaphore::new(WRITES)),
            watches: Arc::default(),
            tunnels: Arc::default(),
        }
    }
}

/// A watch or tunnel that is counted until it is dropped.
#[derive(Debug)]
pub struct Permit {
    user: String,
    held: Held,
}

impl Limits {
    /// Lets a request in. Who is in `system:masters` always comes in: whoever mends an
    /// overloaded cluster.
    pub fn request(&self, user: &User, reads_only: bool) -> Result<Option<OwnedSemaphorePermit>> {
        let pool = if reads_only { &self.reads } else { &self.writes };
        match Arc::clone(pool).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if user.is_in(access::user::MASTERS) => Ok(None),
            Err(_) => Err(too_many("too many requests, please try again later.")),
        }
    }

    /// Lets a user have one more watch.
    pub fn watch(&self, user: &User) -> Result<Permit> {
        hold(&self.watches, user, WATCHES, "watches")
    }

    /// Lets a user have one more connection to a container, or through a proxy.
    pub fn tunnel(&self, user: &User) -> Result<Permit> {
        hold(&self.tunnels, user, TUNNELS, "tunnels")
    }

    /// How many watches there are.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// How many requests are under way: reads, writes.
    #[must_use]
    pub fn in_flight(&self) -> (usize, usize) {
        (READS - self.reads.available_permits(), WRITES - self.writes.available_permits())
    }
}

fn hold(held: &Held, user: &User, most: usize, what: &str) -> Result<Permit> {
    let mut all = held.lock().unwrap_or_else(PoisonError::into_inner);
    let count = all.entry(user.name.clone()).or_default();
    if *count >= most {
        return Err(too_many(&format!("{} holds {most} {what} already: end some of them", user.name)));
    }
    *count += 1;
    Ok(Permit { user: user.name.clone(), held: Arc::clone(held) })
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

fn too_many(says: &str) -> crate::refusal::Refusal {
    Status::too_many_requests(says, RETRY_SECONDS).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_server_lets_masters_in_and_counts_watches() {
        let limits = Limits::default();
        let user = User::new("alice", &[]);
        let held: Vec<_> = (0..WRITES).map(|_| limits.request(&user, false).expect("room")).collect();
        assert_eq!(limits.request(&user, false).expect_err("full").0.code, 429);
        assert!(limits.request(&User::new("root", &["system:masters"]), false).expect("let in").is_none());
        assert!(limits.request(&user, true).is_ok());
        drop(held);
        assert!(limits.request(&user, false).is_ok());
        let watch = limits.watch(&user).expect("room");
        assert_eq!(limits.watches(), 1);
        drop(watch);
        assert_eq!(limits.watches(), 0);
    }
}
