//! Amounts of resources as integers: CPU in thousandths, everything else in units or bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quantity::Quantity;
use serde_json::Value;

/// Upstream's amounts for scoring a container that asks for nothing.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) BTreeMap<Arc<str>, i64>);

impl Amounts {
    /// Reads a resource list.
    pub(crate) fn read(list: &Value) -> Self {
        let amount = |(name, value): (&String, &Value)| {
            let quantity = Quantity::of(value)?;
            let amount = if name == "cpu" { quantity.milli() } else { quantity.value() };
            Some((Arc::from(name.as_str()), amount))
        };
        Self(list.as_object().into_iter().flatten().filter_map(amount).collect())
    }

    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(Arc::clone(name)).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub(crate) fn remove(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let rest = self.0.entry(Arc::clone(name)).or_default();
            *rest = rest.saturating_sub(*amount);
        }
    }

    fn at_least(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let most = self.0.entry(Arc::clone(name)).or_default();
            *most = (*most).max(*amount);
        }
    }
}

/// What a pod asks for: its containers together, or more where an init container needs it
/// (upstream's PodRequests), and the same with defaults for scoring.
pub(crate) fn requests(spec: &Value) -> (Amounts, Amounts) {
    (sum(spec, false), sum(spec, true))
}

fn sum(spec: &Value, with_defaults: bool) -> Amounts {
    let of = |container: &Value| {
        let mut amounts = Amounts::read(&container["resources"]["requests"]);
        if with_defaults {
            amounts.0.entry("cpu".into()).or_insert(DEFAULT_CPU);
            amounts.0.entry("memory".into()).or_insert(DEFAULT_MEMORY);
        }
        amounts
    };
    let list = |field: &str| spec[field].as_array().map_or(&[][..], Vec::as_slice);
    let mut total = Amounts::default();
    for container in list("containers") {
        total.add(&of(container));
    }
    // Sidecars run beside what follows them; other init containers run alone.
    let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
    for container in list("initContainers") {
        if container["restartPolicy"] == "Always" {
            sidecars.add(&of(container));
            total.add(&of(container));
        } else {
            let mut at_that_time = of(container);
            at_that_time.add(&sidecars);
            most.at_least(&at_that_time);
        }
        most.at_least(&sidecars);
    }
    total.at_least(&most);
    let whole = Amounts::read(&spec["resources"]["requests"]);
    for (name, amount) in whole.0 {
        total.0.insert(name, amount);
    }
    total.add(&Amounts::read(&spec["overhead"]));
    total
}
