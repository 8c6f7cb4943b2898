//! cluster.yaml as a whole: defaults, every mistake, the schema, the template.

use super::*;

#[test]
fn a_name_is_enough() {
    let config = parse("name: my-app\n", "cluster.yaml").unwrap();
    assert_eq!(config, Config::defaults("my-app"));
}
