//! A setting that is either the word `auto` or a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// `auto`, or what the file says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum OrAuto<T> {
    /// Left out, or the word `auto`: decided when the cluster is planned.
    #[default]
    Auto,
    /// Written out.
    Given(T),
}

impl<T> OrAuto<T> {
    /// The value, if it was written out.
    pub fn given(&self) -> Option<&T> {
        match self {
            Self::Auto => None,
            Self::Given(value) => Some(value),
        }
    }

    /// Whether it was left to us.
    pub fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

impl<T: Serialize> Serialize for OrAuto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Given(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrAuto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Value(T),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Value(value) => Ok(Self::Given(value)),
            Either::Word(word) if word == "auto" => Ok(Self::Auto),
            Either::Word(word) => Err(D::Error::custom(format!("{word:?} is neither `auto` nor a list"))),
        }
    }
}
