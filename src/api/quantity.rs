//! Exact arithmetic on quantities: `1500m`, `1.5Gi`, `1e3`.
//!
//! A quantity is kept in billionths, upstream's finest unit, and saturates far above what
//! it can print. Canonical text is made where objects are decoded; here it is only read,
//! compared and summed.

use std::fmt::{self, Display};

/// Billionths of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity(i128);

const ONE: i128 = 1_000_000_000;

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Reads a quantity; none if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && part.is_empty() || part.contains('.') {
            return None;
        }
        let (factor, divisor) = scale(suffix)?;
        let digits = format!("{whole}{part}");
        let mut value: i128 = if digits.len() > 36 { i128::MAX } else { digits.parse().ok()? };
        value = value.saturating_mul(factor);
        let divisor = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?.checked_mul(divisor)?;
        // Upstream rounds away from zero what is finer than a billionth.
        let rounded = value / divisor + i128::from(value % divisor != 0);
        Some(Self(if text.starts_with('-') { -rounded } else { rounded }))
    }

    /// The quantity in a JSON value: text or a number.
    #[must_use]
    pub fn of(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Self::parse(text),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// `n` ones.
    #[must_use]
    pub fn whole(n: i64) -> Self {
        Self(i128::from(n) * ONE)
    }

    /// A thousandth of it.
    #[must_use]
    pub fn thousandth(self) -> Self {
        Self(self.0 / 1000)
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whole ones, rounded away from zero: upstream's `Value()`.
    #[must_use]
    pub fn value(self) -> i64 {
        Self::clip(self.0 / ONE + (self.0 % ONE).signum())
    }

    /// Thousandths, rounded away from zero: upstream's `MilliValue()`.
    #[must_use]
    pub fn milli(self) -> i64 {
        let milli = ONE / 1000;
        Self::clip(self.0 / milli + (self.0 % milli).signum())
    }

    fn clip(value: i128) -> i64 {
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether it is a number of ones.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.0 % ONE == 0
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is a multiple of `other`, which is above zero.
    #[must_use]
    pub fn divides_by(self, other: Self) -> bool {
        other.0 > 0 && self.0 % other.0 == 0
    }
}

/// Ones (with billionths in the factor), and what to divide by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let decimal = |power: u32| Some((ONE * 10_i128.pow(power), 1));
    let binary = |power: u32| Some((ONE << power, 1));
    match suffix {
        "" => decimal(0),
        "n" => Some((1, 1)),
        "u" => Some((1_000, 1)),
        "m" => Some((1_000_000, 1)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            match power {
                0..=27 => decimal(power.unsigned_abs()),
                -27..=-1 => Some((ONE, 10_i128.pow(power.unsigned_abs()))),
                _ => None,
            }
        }
    }
}

/// The decimal form, with a suffix of thousands as upstream chooses it.
impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let (mut value, mut at) = (self.0, 0);
        while value % 1000 == 0 && at < 9 {
            value /= 1000;
            at += 1;
        }
        write!(f, "{value}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly() {
        let table = [
            ("1500m", 1_500_000_000_i128),
            ("1.5", 1_500_000_000),
            ("-2", -2_000_000_000),
            ("1Ki", 1_024_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("1e-3", 1_000_000),
            (".5", 500_000_000),
            ("1n", 1),
            ("0.1n", 1),
        ];
        for (text, nano) in table {
            assert_eq!(Quantity::parse(text), Some(Quantity(nano)), "{text}");
        }
        for wrong in ["", "m", "1Zi", "1..2", "e3", "1 ", "1e99"] {
            assert_eq!(Quantity::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn quantities_are_rounded_up_and_printed_by_thousands() {
        let read = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!((read("1500m").value(), read("1500m").milli()), (2, 1500));
        assert_eq!(read("-1500m").value(), -2);
        assert_eq!(read("1.5Gi").to_string(), "1610612736");
        assert_eq!(read("2000").to_string(), "2k");
        assert_eq!(read("100m").plus(read("0.2")).to_string(), "300m");
        assert!(read("4Mi").divides_by(read("2Mi")) && !read("3Mi").divides_by(read("2Mi")));
    }
}
