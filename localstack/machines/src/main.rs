//! machines
fn main() {}
