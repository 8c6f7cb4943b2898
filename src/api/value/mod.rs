//! Values with a text of their own: how each is read, refused and printed, as Go's and
//! upstream's code does. Nothing here knows a field or an object.

pub mod base64;
pub mod duration;
pub mod quantity;
pub mod time;

pub use quantity::Quantity;
