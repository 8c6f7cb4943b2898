//! Counting a probe's results: when a container becomes ready, started or unhealthy.

use serde_json::Value;

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Holds the others back until it succeeds once.
    Startup,
    /// Restarts the container.
    Liveness,
    /// Takes it out of Services.
    Readiness,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The field of a container.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Liveness => "livenessProbe",
            Self::Readiness => "readinessProbe",
        }
    }

    /// As events word it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Results in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    last: Option<bool>,
    run: i64,
}

impl Count {
    /// Takes one result; gives the verdict once a threshold is reached.
    pub fn take(&mut self, probe: &Value, good: bool) -> Option<bool> {
        self.run = if self.last == Some(good) { self.run + 1 } else { 1 };
        self.last = Some(good);
        let (field, default) = if good { ("successThreshold", 1) } else { ("failureThreshold", 3) };
        (self.run >= probe[field].as_i64().unwrap_or(default)).then_some(good)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn verdicts_come_at_thresholds_and_one_other_result_begins_anew() {
        let probe = json!({"failureThreshold": 2, "successThreshold": 1});
        let mut count = Count::default();
        let verdicts: Vec<_> = [false, true, false, false].map(|good| count.take(&probe, good)).into();
        assert_eq!(verdicts, [None, Some(true), None, Some(false)]);
    }
}
