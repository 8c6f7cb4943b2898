//! Running plans: state folder, journal, executor, and the bootstrap of nodes over SSH.

pub mod bootstrap;
