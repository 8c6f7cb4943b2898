//! Text that must not be seen: private keys and whatever else opens a door.
//!
//! Owns the rule that such text is only read where [`Secret::expose`] is written.
//! It cannot be printed, compared, hashed or serialised, and is wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A private text, such as a PEM key. `Debug` and `Display` show `[secret]`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; nobody else should keep a copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Where it goes from here is the caller's answer to give:
    /// a file of mode 0600 or the standard input of a command, never an argument or a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
