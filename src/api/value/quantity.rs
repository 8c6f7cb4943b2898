//! Quantities (`resource.Quantity`): a decimal with a suffix, its canonical text, its order.
//!
//! A quantity is kept as mantissa times a power of ten. Three families of suffixes are told
//! apart since the canonical text stays in the family it was written in: decimal (`m`, `k`),
//! binary (`Ki`) and exponents (`e3`). Fractions below a billionth are rounded away from zero;
//! binary ones are capped at the largest 64-bit integer.

use std::cmp::Ordering;
use std::fmt;

/// A text that is not a quantity; the words are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number before the suffix, or one of more than 38 digits.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// A suffix that none of the families has.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A family of suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `n u m k M G T P E`.
    Decimal,
    /// `Ki Mi Gi Ti Pi Ei`.
    Binary,
    /// `e3`.
    Exponent,
}

/// An amount of a resource.
#[derive(Debug, Clone)]
pub struct Quantity {
    negative: bool,
    mantissa: u128,
    exponent: i32,
    format: Format,
    /// The text it was read from, where upstream prints that again: it looks canonical to it.
    text: Option<Box<str>>,
}

const NANO: i32 = -9;
const MOST: u128 = i64::MAX as u128;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// The parts of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros, at least one.
    whole: &'a str,
    fraction: &'a str,
    /// There is no digit at all.
    bare: bool,
    suffix: &'a str,
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// A text that upstream refuses, in its words.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = split(text)?;
        let (format, power) = family(parts.suffix).ok_or(QuantityError::Suffix)?;
        if let Some(quick) = Self::quick(text, &parts, format, power) {
            return Ok(quick);
        }
        Self::slow(&parts, format, power)
    }

    /// Amounts that fit 64 bits, which is where upstream keeps a text as it was written.
    fn quick(text: &str, parts: &Parts<'_>, format: Format, power: i32) -> Option<Self> {
        let digits = i32::try_from(parts.whole.len() + parts.fraction.len()).ok()?;
        let (multiplier, exponent) = match format {
            Format::Binary => {
                let room = 15 - digits - power * 3 / 10 - 1;
                (parts.fraction.is_empty() && room >= 0).then_some((1_u128 << power, 0))?
            }
            _ => {
                let exponent = power.checked_sub(i32::try_from(parts.fraction.len()).ok()?)?;
                (digits <= 18 && exponent >= NANO).then_some((1, exponent))?
            }
        };
        let number = number(parts.whole, parts.fraction)?;
        let mantissa = number.checked_mul(multiplier).filter(|m| *m <= MOST)?;
        let kept = match format {
            Format::Binary => number & 7 != 0,
            _ => exponent % 3 == 0 && number != 0 && number % 1000 != 0 && parts.whole != "0",
        };
        let text = (kept && mantissa != 0).then(|| text.into());
        Some(Self { negative: parts.negative && mantissa != 0, mantissa, exponent, format, text })
    }

    fn slow(parts: &Parts<'_>, mut format: Format, power: i32) -> Result<Self, QuantityError> {
        if parts.bare {
            return Err(QuantityError::Numeric);
        }
        // Digits that cannot reach a billionth count only as "something".
        let finest = if format == Format::Binary {
            19
        } else {
            usize::try_from(9_i32.saturating_add(power)).unwrap_or(0)
        };
        let keep = parts.fraction.len().min(finest);
        let (fraction, rest) = parts.fraction.split_at(keep);
        let mut sticky = rest.bytes().any(|digit| digit != b'0');
        let mut exponent = -i32::try_from(keep).unwrap_or(0);
        let Some(mut mantissa) = number(parts.whole, fraction) else {
            return if format == Format::Binary {
                Ok(Self::capped(parts.negative))
            } else {
                Err(QuantityError::Numeric)
            };
        };
        if format == Format::Binary {
            let Some(product) = mantissa.checked_mul(1_u128 << power) else {
                return Ok(Self::capped(parts.negative));
            };
            mantissa = product;
        } else {
            exponent = exponent.saturating_add(power);
        }
        while exponent < NANO {
            sticky |= mantissa % 10 != 0;
            mantissa /= 10;
            exponent = if mantissa == 0 { NANO } else { exponent + 1 };
        }
        if sticky {
            mantissa = mantissa.checked_add(1).ok_or(QuantityError::Numeric)?;
        }
        let mut quantity =
            Self { negative: parts.negative && mantissa != 0, mantissa, exponent, format, text: None };
        if format == Format::Binary {
            if quantity.magnitude(MOST, 0) == Ordering::Greater {
                return Ok(Self::capped(parts.negative));
            }
            if quantity.magnitude(1, 0) == Ordering::Less && mantissa != 0 {
                format = Format::Decimal;
            }
        }
        quantity.format = format;
        Ok(quantity)
    }

    fn capped(negative: bool) -> Self {
        Self { negative, mantissa: MOST, exponent: 0, format: Format::Binary, text: None }
    }

    /// A whole number in the decimal family.
    #[must_use]
    pub fn from_whole(value: i64) -> Self {
        let mantissa = u128::from(value.unsigned_abs());
        Self { negative: value < 0, mantissa, exponent: 0, format: Format::Decimal, text: None }
    }

    /// The same in thousandths at the finest, rounded away from zero.
    #[must_use]
    pub fn in_thousandths(self) -> Self {
        const MILLI: i32 = -3;
        if self.exponent >= MILLI {
            return self;
        }
        let (mantissa, _) = self.at_scale(MILLI);
        Self { mantissa, exponent: MILLI, text: None, ..self }
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The amount in units, rounded away from zero; at the ends of 64 bits where it is beyond them.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded away from zero; at the ends of 64 bits where it is beyond them.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    fn scaled(&self, scale: i32) -> i64 {
        let (amount, _) = self.at_scale(scale);
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        if self.negative { -amount } else { amount }
    }

    /// The magnitude in units of ten to the `scale`, rounded up, and whether nothing was lost.
    fn at_scale(&self, scale: i32) -> (u128, bool) {
        let mut amount = self.mantissa;
        let mut exact = true;
        let mut exponent = self.exponent;
        while exponent < scale && amount != 0 {
            exact &= amount.is_multiple_of(10);
            amount /= 10;
            exponent += 1;
        }
        if !exact {
            return (amount + 1, false);
        }
        while exponent > scale && amount != 0 {
            let Some(next) = amount.checked_mul(10) else { return (u128::MAX, false) };
            amount = next;
            exponent -= 1;
        }
        (amount, true)
    }

    /// Its magnitude against another, sign apart.
    fn magnitude(&self, mantissa: u128, exponent: i32) -> Ordering {
        let (mut a, mut b) = (self.mantissa, mantissa);
        if a == 0 || b == 0 {
            return a.cmp(&b);
        }
        let (mut ea, mut eb) = (self.exponent, exponent);
        while ea > eb {
            let Some(next) = a.checked_mul(10) else { return Ordering::Greater };
            (a, ea) = (next, ea - 1);
        }
        while eb > ea {
            let Some(next) = b.checked_mul(10) else { return Ordering::Less };
            (b, eb) = (next, eb - 1);
        }
        a.cmp(&b)
    }

    fn write_decimal(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut mantissa, mut exponent) = (self.mantissa, self.exponent);
        while mantissa.is_multiple_of(10) {
            (mantissa, exponent) = (mantissa / 10, exponent + 1);
        }
        while exponent % 3 != 0 {
            // At most two steps; a mantissa that has no room for them is printed with zeros.
            match mantissa.checked_mul(10) {
                Some(next) => (mantissa, exponent) = (next, exponent - 1),
                None => return write!(f, "{mantissa}{}", "0".repeat(exponent.rem_euclid(3) as usize)),
            }
        }
        write!(f, "{mantissa}")?;
        match format {
            Format::Exponent if exponent == 0 => Ok(()),
            Format::Exponent => write!(f, "e{exponent}"),
            // Upstream prints nothing for a power that has no letter.
            _ => f.write_str(
                DECIMAL.iter().find(|(_, power)| *power == exponent).map_or("", |(letter, _)| letter),
            ),
        }
    }

    fn write_binary(f: &mut fmt::Formatter<'_>, mut amount: u128) -> fmt::Result {
        let mut power = 0;
        while amount >= 1024 && amount.is_multiple_of(1024) {
            (amount, power) = (amount / 1024, power + 10);
        }
        write!(f, "{amount}")?;
        f.write_str(BINARY.iter().find(|(_, p)| *p == power).map_or("", |(letter, _)| letter))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let letters = self.format == Format::Binary && self.magnitude(1024, 0) != Ordering::Less;
        if letters && let (amount, true) = self.at_scale(0) {
            return Self::write_binary(f, amount);
        }
        let format = if self.format == Format::Exponent { Format::Exponent } else { Format::Decimal };
        self.write_decimal(f, format)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.magnitude(other.mantissa, other.exponent),
            (true, true) => self.magnitude(other.mantissa, other.exponent).reverse(),
        }
    }
}

/// Whole and fraction as one number; none beyond 38 digits.
fn number(whole: &str, fraction: &str) -> Option<u128> {
    let mut number = 0_u128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        number = number.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    Some(number)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, rest) = digits(unsigned.trim_start_matches('0'));
    let zeros = unsigned.len() - whole.len() - rest.len();
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    let bare = whole.len() + fraction.len() + zeros == 0;
    let whole = if whole.is_empty() { "0" } else { whole };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let after = &suffix[letters..];
    let after = after.strip_prefix(['-', '+']).unwrap_or(after);
    if !digits(after).1.is_empty() {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, whole, fraction, bare, suffix })
}

fn family(suffix: &str) -> Option<(Format, i32)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(letter, _)| *letter == suffix) {
        return Some((Format::Decimal, *power));
    }
    if let Some((_, power)) = BINARY.iter().find(|(letter, _)| *letter == suffix) {
        return Some((Format::Binary, *power));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i64>().ok()?;
    // Upstream takes the low 32 bits; what is beyond them is beyond any amount as well.
    #[allow(clippy::cast_possible_truncation, reason = "as upstream")]
    Some((Format::Exponent, exponent as i32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|error| error.to_string(), |q| q.to_string())
    }

    #[test]
    fn the_canonical_text_is_upstreams() {
        for (text, expect) in [
            ("0", "0"),
            ("0m", "0"),
            ("0Mi", "0"),
            ("00", "0"),
            ("-0", "0"),
            (".", "0"),
            ("1", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("0.5", "500m"),
            ("100m", "100m"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1000e3", "1e6"),
            ("1E", "1E"),
            ("1e1", "10"),
            ("1024", "1024"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("8Mi", "8Mi"),
            ("1.5Gi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("0.1Ki", "102400m"),
            ("0.0001Ki", "102400u"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("1.1n", "2n"),
            ("-0.1n", "-1n"),
            ("0.0000000001", "1n"),
            ("9Ei", "9223372036854775807"),
            ("-9Ei", "-9223372036854775807"),
            ("010", "010"),
            ("+1", "+1"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1000000000000000000000k", "1"),
            ("100000000000000000000000000000Ki", "9223372036854775807"),
            ("1.25", "1250m"),
            ("2500u", "2500u"),
            ("64Mi", "64Mi"),
            ("128974848", "128974848"),
            ("129e6", "129e6"),
            ("129M", "129M"),
            ("123Mi", "123Mi"),
            ("1.0", "1"),
            ("3.", "3."),
            ("1e-9", "1e-9"),
        ] {
            assert_eq!(canonical(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_in_upstreams_words() {
        for (text, error) in [
            ("", QuantityError::Format),
            ("1.5.5", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            ("abc", QuantityError::Format),
            ("1e", QuantityError::Suffix),
            ("1Mib", QuantityError::Format),
            ("1mm", QuantityError::Suffix),
            ("1K", QuantityError::Suffix),
            ("1e1.5", QuantityError::Format),
        ] {
            assert_eq!(Quantity::parse(text).map(|q| q.to_string()), Err(error), "{text}");
        }
    }

    #[test]
    fn thousandths_are_the_finest_where_that_is_asked() {
        for (text, expect) in
            [("1n", "1m"), ("1500u", "2m"), ("-1u", "-1m"), ("1000000n", "1m"), ("3", "3"), ("2e3", "2e3")]
        {
            assert_eq!(Quantity::parse(text).unwrap().in_thousandths().to_string(), expect, "{text}");
        }
    }

    #[test]
    fn amounts_compare_and_round_across_families() {
        let q = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(q("1"), q("1000m"));
        assert!(q("1Ki") > q("1k"));
        assert!(q("-1") < q("1n"));
        assert!(q("1e30") > q("9E"));
        assert_eq!((q("1500m").value(), q("1500m").milli_value()), (2, 1500));
        assert_eq!((q("-1500m").value(), q("1e30").value()), (-2, i64::MAX));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic_and_canonical_text_is_stable(text in "[-+]?[0-9.]{0,40}([eE][-+]?[0-9]{0,12}|[numkMGTPE]|[KMGTPE]i)?") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let once = quantity.to_string();
                if let Ok(again) = Quantity::parse(&once) {
                    prop_assert_eq!(again.to_string(), once);
                }
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,30}") {
            let _ = Quantity::parse(&text);
        }
    }
}
