//! `up` and `down` against an account with AWS's rules, failing at every point in turn.
//!
//! Every call is refused, lost on the way there, lost on the way back; every
//! call, journal write and bootstrap step is the last thing a process does. Then
//! the command is run again until it is done, and what is there is counted.

mod chance;
mod down;
mod process;
mod scenes;
mod up;
mod world;

pub(crate) use process::{End, Kill};
pub(crate) use world::World;
