//! What a cluster will be billed: a dated table of AWS's list prices, and sums over it.
//!
//! Owns the table. Its numbers are EC2's public on-demand prices for Linux, gp3's and public IPv4
//! addresses', before taxes and discounts; traffic is not in it. It holds one region, since no other
//! was compared with AWS's list on a day that can be named. A type or region that is not in it has
//! no price: "price unknown", never a guess. Money is whole millionths of a dollar.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The day the table was compared with AWS's price list.
pub const AS_OF: &str = "2026-01-19";
/// Where today's prices stand.
pub const SOURCE: &str = "https://aws.amazon.com/ec2/pricing/on-demand/";
/// AWS's month.
pub const HOURS_A_MONTH: u64 = 730;

/// US dollars, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

/// What a cluster costs while it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The region the prices are of.
    pub region: String,
    /// The table's date, [`AS_OF`].
    pub as_of: &'static str,
    /// One line for each thing that is billed, machines first.
    pub lines: Vec<Line>,
    /// The sum of the known prices, in an hour.
    pub hourly: MicroUsd,
    /// The sum of the known prices, in a month of 730 hours.
    pub monthly: MicroUsd,
    /// What has no price in the table: then the sums are lower bounds.
    pub unknown: Vec<String>,
}

/// One thing that is billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// An instance type, `gp3 GiB` or `public IPv4 address`.
    pub what: String,
    /// How many machines, GiB or addresses.
    pub quantity: u64,
    /// All of them in a month of 730 hours; `None` is "price unknown".
    pub monthly: Option<MicroUsd>,
}

/// The one region whose prices were compared with AWS's list on [`AS_OF`].
const REGION: &str = "us-east-1";

/// On-demand price of a family's `large` in one hour, in [`REGION`]. Other sizes are exact
/// multiples of it.
struct Family {
    name: &'static str,
    sizes: &'static [(&'static str, u64)],
    large: u64,
}

/// Sizes of the burstable families, in sixteenths of a `large`.
const BURSTABLE: &[(&str, u64)] =
    &[("nano", 1), ("micro", 2), ("small", 4), ("medium", 8), ("large", 16), ("xlarge", 32), ("2xlarge", 64)];

/// Sizes of the other families, in sixteenths of a `large`.
const FIXED: &[(&str, u64)] = &[("large", 16), ("xlarge", 32), ("2xlarge", 64), ("4xlarge", 128)];

const FAMILIES: [Family; 10] = [
    Family { name: "t3", sizes: BURSTABLE, large: 83_200 },
    Family { name: "t3a", sizes: BURSTABLE, large: 75_200 },
    Family { name: "t4g", sizes: BURSTABLE, large: 67_200 },
    Family { name: "m5", sizes: FIXED, large: 96_000 },
    Family { name: "m6i", sizes: FIXED, large: 96_000 },
    Family { name: "m7i", sizes: FIXED, large: 100_800 },
    Family { name: "m7g", sizes: FIXED, large: 81_600 },
    Family { name: "c6i", sizes: FIXED, large: 85_000 },
    Family { name: "c7g", sizes: FIXED, large: 72_500 },
    Family { name: "r6i", sizes: FIXED, large: 126_000 },
];

/// A GiB of gp3 in a month, with the throughput and operations that are included.
const GP3: MicroUsd = MicroUsd(80_000);

/// A public IPv4 address in an hour, in every region.
const PUBLIC_IPV4: MicroUsd = MicroUsd(5_000);

/// An on-demand Linux instance in an hour, if the table has it.
#[must_use]
pub fn instance_hourly(instance_type: &str, region: &str) -> Option<MicroUsd> {
    let (family, size) = instance_type.split_once('.').filter(|_| region == REGION)?;
    let family = FAMILIES.iter().find(|known| known.name == family)?;
    let sixteenths = find(family.sizes, size)?;
    Some(MicroUsd(family.large * sixteenths / 16))
}

/// A GiB of gp3 in a month, if the table has the region.
#[must_use]
pub fn gp3_gib_monthly(region: &str) -> Option<MicroUsd> {
    (region == REGION).then_some(GP3)
}

/// What `config` will be billed in `region`, `public_addresses` saying whether each machine has one.
#[must_use]
pub fn estimate(config: &Config, region: &str, public_addresses: bool) -> Estimate {
    let slots = config.slots();
    let mut lines: Vec<Line> = config
        .instance_types()
        .into_iter()
        .map(|kind| {
            let machines = slots.iter().filter(|slot| config.instance_type(slot) == kind).count();
            line(kind, count(machines), instance_hourly(kind, region).map(monthly_of))
        })
        .filter(|line| line.quantity > 0)
        .collect();
    let gib = slots.iter().map(|slot| u64::from(config.volume_gib(slot))).sum();
    lines.push(line("gp3 GiB", gib, gp3_gib_monthly(region)));
    if public_addresses {
        lines.push(line("public IPv4 address", count(slots.len()), Some(monthly_of(PUBLIC_IPV4))));
    }
    let monthly: MicroUsd = lines.iter().filter_map(|line| line.monthly).sum();
    let unpriced = lines.iter().filter(|line| line.monthly.is_none());
    Estimate {
        region: region.to_owned(),
        as_of: AS_OF,
        unknown: unpriced.map(|line| line.what.clone()).collect(),
        hourly: MicroUsd(monthly.0.div_ceil(HOURS_A_MONTH)),
        monthly,
        lines,
    }
}

fn line(what: &str, quantity: u64, each: Option<MicroUsd>) -> Line {
    Line {
        what: what.to_owned(),
        quantity,
        monthly: each.map(|each| MicroUsd(each.0.saturating_mul(quantity))),
    }
}

fn monthly_of(hourly: MicroUsd) -> MicroUsd {
    MicroUsd(hourly.0.saturating_mul(HOURS_A_MONTH))
}

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

fn find(table: &[(&str, u64)], name: &str) -> Option<u64> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

impl Add for MicroUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for MicroUsd {
    /// `$30.37`; below a dollar four places, `$0.0208`, as AWS writes hourly prices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, places) = if self.0 < 1_000_000 { (100, 4) } else { (10_000, 2) };
        let rounded = (self.0 + unit / 2) / unit;
        let whole = 1_000_000 / unit;
        write!(f, "${}.{:0places$}", rounded / whole, rounded % whole)
    }
}

impl fmt::Display for Line {
    /// `2 x t3.small: $30.37 a month`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}: ", self.quantity, self.what)?;
        match self.monthly {
            Some(monthly) => write!(f, "{monthly} a month"),
            None => f.write_str("price unknown"),
        }
    }
}

impl fmt::Display for Estimate {
    /// The lines, then the sum; no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        let (bound, others) = match self.unknown.is_empty() {
            true => ("", String::new()),
            false => ("more than ", format!("; today's prices: {SOURCE}")),
        };
        write!(
            f,
            "{bound}{} an hour, {} a month of {HOURS_A_MONTH} hours in {}, by AWS's list prices of {}, \
             without traffic and taxes{others}",
            self.hourly, self.monthly, self.region, self.as_of
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        parse(&format!("name: a\n{text}"), "f").unwrap()
    }

    #[test]
    fn prices_are_those_of_the_list() {
        for (instance_type, hourly) in [
            ("t3.nano", "$0.0052"),
            ("t3.small", "$0.0208"),
            ("t3a.2xlarge", "$0.3008"),
            ("t4g.micro", "$0.0084"),
            ("m5.4xlarge", "$0.7680"),
            ("m6i.2xlarge", "$0.3840"),
            ("m7i.4xlarge", "$0.8064"),
            ("m7g.xlarge", "$0.1632"),
            ("c6i.4xlarge", "$0.6800"),
            ("c7g.2xlarge", "$0.2900"),
            ("r6i.4xlarge", "$1.01"),
        ] {
            let price = instance_hourly(instance_type, "us-east-1").unwrap();
            assert_eq!(price.to_string(), hourly, "{instance_type}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_has_no_price() {
        for (instance_type, region) in [
            ("t3.small", "ap-south-1"),
            ("t3.small", "us-east-2"),
            ("t3.small", "eu-central-1"),
            ("m5.metal", "us-east-1"),
            ("m5.small", "us-east-1"),
            ("x9.large", "us-east-1"),
            ("t3", "us-east-1"),
        ] {
            assert_eq!(instance_hourly(instance_type, region), None, "{instance_type} in {region}");
        }
        assert_eq!(gp3_gib_monthly("ap-south-1"), None);
    }

    #[test]
    fn every_multiple_in_the_table_is_whole() {
        for family in &FAMILIES {
            for (size, sixteenths) in family.sizes {
                assert_eq!(family.large * sixteenths % 16, 0, "{}.{size}", family.name);
            }
        }
    }

    #[test]
    fn the_smallest_cluster_is_summed() {
        let estimate = estimate(&config(""), "us-east-1", true);
        insta::assert_snapshot!(estimate, @r"
        2 x t3.small: $30.37 a month
        40 x gp3 GiB: $3.20 a month
        2 x public IPv4 address: $7.30 a month
        $0.0560 an hour, $40.87 a month of 730 hours in us-east-1, by AWS's list prices of 2026-01-19, without traffic and taxes
        ");
        assert_eq!(estimate.unknown, Vec::<String>::new());
    }

    #[test]
    fn an_unknown_price_is_said_and_the_sum_is_a_lower_bound() {
        let config = config("workers: [{name: w, count: 2, type: u7i-6tb.112xlarge}]");
        let estimate = estimate(&config, "us-east-1", false);
        insta::assert_snapshot!(estimate, @r"
        1 x t3.small: $15.18 a month
        2 x u7i-6tb.112xlarge: price unknown
        60 x gp3 GiB: $4.80 a month
        more than $0.0274 an hour, $19.98 a month of 730 hours in us-east-1, by AWS's list prices of 2026-01-19, without traffic and taxes; today's prices: https://aws.amazon.com/ec2/pricing/on-demand/
        ");
        assert_eq!(estimate.unknown, ["u7i-6tb.112xlarge"]);
    }

    #[test]
    fn a_region_that_is_not_in_the_table_has_no_price_but_that_of_addresses() {
        let estimate = estimate(&config(""), "eu-central-1", true);
        assert_eq!(estimate.unknown, ["t3.small", "gp3 GiB"]);
        assert_eq!(estimate.monthly.to_string(), "$7.30");
    }

    #[test]
    fn a_group_without_machines_costs_nothing() {
        let config = config("workers: [{name: w, count: 0, type: m5.large}]");
        let lines = estimate(&config, "us-east-1", false).lines;
        assert!(lines.iter().all(|line| line.what != "m5.large"), "{lines:?}");
    }

    #[test]
    fn money_is_written_with_cents_or_as_hourly_prices() {
        for (micro, text) in [
            (0, "$0.0000"),
            (5_000, "$0.0050"),
            (999_949, "$0.9999"),
            (999_950, "$1.0000"),
            (1_000_000, "$1.00"),
            (30_367_999, "$30.37"),
            (12_345_678_901, "$12345.68"),
        ] {
            assert_eq!(MicroUsd(micro).to_string(), text);
        }
    }
}
