//! The threads that connections run on, and whose turn it is inside the C libraries.
//!
//! Two rules keep libssh2 and OpenSSL 3 from corrupting the heap (docs/adr/0005): one
//! thread at a time is inside them, and a thread that has been inside never ends, since
//! OpenSSL's per-thread clean-up would run beside the others. So threads are kept and used
//! again, and a [`Turn`] is held wherever a library call may happen and given up while a
//! thread waits. No call blocks, so turns are short.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Work = Box<dyn FnOnce() + Send>;

static POOL: Mutex<Pool> = Mutex::new(Pool { queue: VecDeque::new(), idle: 0, busy: 0 });
static OFFERED: Condvar = Condvar::new();
static ENDED: Condvar = Condvar::new();
static TURN: Mutex<()> = Mutex::new(());

struct Pool {
    queue: VecDeque<Work>,
    /// Threads that wait for work and are not yet promised any.
    idle: usize,
    /// Work that is queued or under way.
    busy: usize,
}

/// The right to be inside libssh2 and OpenSSL.
pub(crate) struct Turn(Option<MutexGuard<'static, ()>>);

impl Turn {
    /// Waits until no other thread is inside.
    pub(crate) fn take() -> Self {
        Self(Some(TURN.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Lets others in while `wait` runs, which must call neither library.
    pub(crate) fn yielding<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.0 = None;
        let value = wait();
        *self = Self::take();
        value
    }
}

/// Counts work down, however it ends.
struct Busy;

impl Drop for Busy {
    fn drop(&mut self) {
        pool().busy -= 1;
        ENDED.notify_all();
    }
}

/// Runs `work` on a thread of the pool; a new one is made where none is idle.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut pool = pool();
    if pool.idle == 0 {
        std::thread::Builder::new().name("ssh".to_owned()).spawn(serve)?;
    } else {
        pool.idle -= 1;
    }
    pool.busy += 1;
    pool.queue.push_back(Box::new(work));
    OFFERED.notify_one();
    Ok(())
}

fn serve() {
    loop {
        let mut pool = pool();
        let work = loop {
            match pool.queue.pop_front() {
                Some(work) => break work,
                None => pool = OFFERED.wait(pool).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(pool);
        {
            let _busy = Busy;
            // A panic in one connection ends that connection, not the thread.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        }
        self::pool().idle += 1;
    }
}

/// Waits until every connection has ended, at most `patience`. Called once nobody holds a
/// session any more, right before the process ends: the C library's exit handlers take
/// OpenSSL's tables away under a connection that is still closing. False: one is left.
pub fn wait_for_connections(patience: Duration) -> bool {
    let idle = ENDED.wait_timeout_while(pool(), patience, |pool| pool.busy > 0);
    let (_pool, timeout) = idle.unwrap_or_else(PoisonError::into_inner);
    !timeout.timed_out()
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}
