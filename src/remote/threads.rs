//! The threads of open connections, so that a process can wait for them before it ends.
//!
//! The C library's exit handlers take OpenSSL's tables away. A connection that
//! is still closing would use them after that; so it is waited for, bounded.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

static THREADS: Mutex<Threads> = Mutex::new(Threads { busy: 0, handles: Vec::new() });
static CHANGED: Condvar = Condvar::new();

struct Threads {
    /// Threads whose work has not ended.
    busy: usize,
    /// Threads that nobody has joined.
    handles: Vec<JoinHandle<()>>,
}

/// Counts a thread down, however its work ends.
struct Busy;

impl Drop for Busy {
    fn drop(&mut self) {
        threads().busy -= 1;
        CHANGED.notify_all();
    }
}

/// Runs `work` on a thread of its own that [`wait_for_connections`] knows of.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut threads = threads();
    let handle = std::thread::Builder::new().name(name).spawn(move || {
        let _busy = Busy;
        work();
    })?;
    threads.busy += 1;
    threads.handles.retain(|handle| !handle.is_finished());
    threads.handles.push(handle);
    Ok(())
}

/// Waits until every connection's thread has ended, at most `patience`. Called once
/// nobody holds a session any more, right before the process ends. False: one is left.
pub fn wait_for_connections(patience: Duration) -> bool {
    let idle = CHANGED.wait_timeout_while(threads(), patience, |threads| threads.busy > 0);
    let (mut threads, timeout) = idle.unwrap_or_else(PoisonError::into_inner);
    if timeout.timed_out() {
        return false;
    }
    let handles = std::mem::take(&mut threads.handles);
    drop(threads);
    handles.into_iter().for_each(|handle| drop(handle.join()));
    true
}

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}
