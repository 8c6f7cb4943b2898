//! The arithmetic of a rolling update. Pure numbers.

use serde_json::Value;

/// A number, or a percentage of `of`, rounded up or down.
pub(crate) fn scaled(value: &Value, of: i64, up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let exact = of * percent;
            if up { (exact + 99).div_euclid(100) } else { exact.div_euclid(100) }
        }
        value => value.as_i64().unwrap_or(0),
    }
}

/// How many pods more and how many fewer than wanted there may be (upstream's ResolveFenceposts).
pub(super) fn bounds(rolling: &Value, replicas: i64) -> (i64, i64) {
    let surge = scaled(&rolling["maxSurge"], replicas, true);
    let unavailable = scaled(&rolling["maxUnavailable"], replicas, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(replicas)) }
}

/// How many replicas the new set gets: as many as the surge leaves room for.
pub(super) fn grown(wanted: i64, surge: i64, new: i64, all: i64) -> i64 {
    if all >= wanted + surge { new } else { wanted.min(new + wanted + surge - all) }
}

/// Shares `to_add` (or takes it away) among sets of these sizes, in proportion; the largest first.
pub(super) fn proportionally(sizes: &[i64], to_add: i64) -> Vec<i64> {
    let total: i64 = sizes.iter().sum();
    let mut left = to_add;
    let mut result = Vec::with_capacity(sizes.len());
    for size in sizes {
        let exact = if total == 0 { 0 } else { (to_add * size * 2 + total * to_add.signum()) / (total * 2) };
        let share = if to_add > 0 { exact.min(left) } else { exact.max(left) };
        left -= share;
        result.push((size + share).max(0));
    }
    if let Some(first) = result.first_mut() {
        *first = (*first + left).max(0);
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_round_in_favour_of_progress() {
        let quarter = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        assert_eq!(bounds(&quarter, 3), (1, 0));
        assert_eq!(bounds(&quarter, 10), (3, 2));
        assert_eq!(bounds(&json!({"maxSurge": 0, "maxUnavailable": "10%"}), 3), (0, 1));
        assert_eq!(bounds(&json!({"maxSurge": 0, "maxUnavailable": 9}), 3), (0, 3));
    }

    #[test]
    fn a_new_set_grows_into_the_surge() {
        assert_eq!(grown(10, 3, 0, 10), 3);
        assert_eq!(grown(10, 3, 3, 13), 3);
        assert_eq!(grown(10, 3, 8, 9), 10);
    }

    #[test]
    fn replicas_are_shared_in_proportion_and_none_is_lost() {
        assert_eq!(proportionally(&[10, 5], 15), [20, 10]);
        assert_eq!(proportionally(&[8, 2], -5), [4, 1]);
        assert_eq!(proportionally(&[0, 0], 3), [3, 0]);
        assert_eq!(proportionally(&[3, 3, 3], 1).iter().sum::<i64>(), 10);
    }
}
