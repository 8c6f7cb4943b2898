//! What every room needs and none owns: time, ids, stopping, telemetry, error classes.
//!
//! A fifth thing needs a decision record: a shared crate that grows is a
//! second, hidden architecture.

pub mod clock;
pub mod error;
pub mod ids;
pub mod shutdown;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Class, Classified, chain};
pub use ids::{Ids, RandomIds, SeededIds};
pub use shutdown::Shutdown;
