//! cluster.yaml as a whole: defaults, round trips, the template and the schema.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn a_name_is_enough() {
    let config = parse("name: my-app\n", "cluster.yaml").unwrap();
    assert_eq!(config, Config::defaults("my-app"));
}

#[test]
fn every_field_that_is_written_is_taken() {
    let config = parse(WHOLE, "cluster.yaml").unwrap_or_else(|e| panic!("{e}"));
    let json = serde_json::to_value(&config).unwrap();
    let mut expected = serde_json::json!({
        "version": 1, "name": "all", "region": "eu-west-1",
        "access": {
            "via": "private", "addressUrl": "https://ip.example.com/v4",
            "ssh": ["203.0.113.0/24"], "api": ["0.0.0.0/0", "198.51.100.7/32"],
            "services": [], "servicePorts": [8080]
        },
        "network": {
            "cidr": "10.9.0.0/20", "zones": ["eu-west-1b", "eu-west-1c"],
            "podCidr": "100.64.0.0/12", "serviceCidr": "192.168.0.0/20"
        },
        "image": {"id": "ami-0123456789abcdef0", "architecture": "arm64", "user": "ubuntu"},
        "masters": {
            "count": 1, "type": "t4g.medium", "zones": ["eu-west-1c"], "volume": {"sizeGiB": 40}
        },
        "workers": [{
            "name": "db", "count": 3, "type": "r7g.large", "zones": ["eu-west-1b"],
            "labels": {"example.com/tier": "db", "node.kubernetes.io/pool": "x"},
            "taints": [{"key": "dedicated", "value": "db", "effect": "NoExecute"}],
            "volume": {"sizeGiB": 100}
        }],
        "iamInstanceProfile": "nodes@prod", "extraApiNames": ["api.example.com", "2001:db8::1"]
    });
    expected.sort_all_objects();
    let mut json = json;
    json.sort_all_objects();
    assert_eq!(json, expected);
}

const WHOLE: &str = "\
version: 1
name: all
region: eu-west-1
access:
  via: private
  addressUrl: https://ip.example.com/v4
  ssh: [203.0.113.0/24]
  api: [0.0.0.0/0, 198.51.100.7/32]
  services: []
  servicePorts: [8080]
network:
  cidr: 10.9.0.0/20
  zones: [eu-west-1b, eu-west-1c]
  podCidr: 100.64.0.0/12
  serviceCidr: 192.168.0.0/20
image: {id: ami-0123456789abcdef0, architecture: arm64, user: ubuntu}
masters: {count: 1, type: t4g.medium, zones: [eu-west-1c], volume: {sizeGiB: 40}}
workers:
  - name: db
    count: 3
    type: r7g.large
    zones: [eu-west-1b]
    labels: {example.com/tier: db, node.kubernetes.io/pool: x}
    taints: [{key: dedicated, value: db, effect: NoExecute}]
    volume: {sizeGiB: 100}
iamInstanceProfile: nodes@prod
extraApiNames: [api.example.com, '2001:db8::1']
";

#[test]
fn what_the_state_folder_keeps_is_a_cluster_yaml_too() {
    for text in ["name: a", WHOLE, "name: b\nworkers: []"] {
        let config = parse(text, "cluster.yaml").unwrap();
        let json = serde_json::to_string_pretty(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert_eq!(parse(&json, "state").unwrap_or_else(|e| panic!("{e}")), config);
    }
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_not_matter() {
    let text = format!("\u{feff}{}", WHOLE.replace('\n', "\r\n"));
    assert_eq!(parse(&text, "f").unwrap_or_else(|e| panic!("{e}")), parse(WHOLE, "f").unwrap());
    let said = parse("name: a\r\nregoin: x\r\n", "f").unwrap_err().to_string();
    assert!(!said.contains('\r'), "{said:?}");
}

proptest! {
    /// Whatever a slip of the hand makes of a file: it is read, or the mistake is inside it.
    #[test]
    fn a_damaged_file_is_read_or_explained(
        at in 0..WHOLE.len(),
        gone in 0_usize..12,
        put in "[ -~\t\n\r\u{e9}\u{1f600}&*!|>{}:#\\[\\]'\"]{0,6}",
    ) {
        let end = (at + gone).min(WHOLE.len());
        let text = format!("{}{put}{}", &WHOLE[..at], &WHOLE[end..]);
        if let Err(diagnostics) = parse(&text, "f") {
            prop_assert!(!diagnostics.mistakes.is_empty());
            for mistake in &diagnostics.mistakes {
                let lines = tree::lines(&text);
                let line = lines.get(mistake.line - 1).copied().unwrap_or_default();
                let width = line.chars().count();
                prop_assert_eq!(&mistake.source, line);
                prop_assert!((1..=width + 1).contains(&mistake.column), "{:?}", mistake);
                prop_assert!(mistake.length >= 1 && mistake.length <= width.max(1), "{:?}", mistake);
                prop_assert!(!mistake.problem.is_empty() && !mistake.remedy.is_empty());
            }
        }
    }
}

#[test]
fn graviton_types_bring_their_own_default_image() {
    let text = "name: a\nmasters: {type: t4g.small}\nworkers: [{name: w, type: m7g.large}]";
    let config = parse(text, "cluster.yaml").unwrap();
    assert_eq!(config.image, Image::debian(Architecture::Arm64));
}

#[test]
fn an_empty_section_is_all_defaults() {
    let text = "name: a\naccess:\nnetwork:\nimage:\nmasters:\n";
    assert_eq!(parse(text, "cluster.yaml").unwrap(), Config::defaults("a"));
}

#[test]
fn a_value_may_be_repeated_by_an_alias() {
    let text = "name: a\naccess: {ssh: &me [192.0.2.1/32], api: *me}";
    let access = parse(text, "cluster.yaml").unwrap().access;
    assert_eq!(access.ssh, access.api);
    assert!(!access.ssh.is_auto());
}

#[test]
fn the_template_means_the_defaults() {
    let text = template("my-app");
    assert_eq!(parse(&text, "cluster.yaml").unwrap(), Config::defaults("my-app"));
}

#[test]
fn the_templates_comments_are_the_defaults_too() {
    // Taken in one by one, a commented default changes nothing, but for the two that have none.
    let text: String = template("my-app")
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&text, "cluster.yaml").unwrap_or_else(|e| panic!("{e}"));
    let expected = Config {
        region: Some("us-east-1".to_owned()),
        iam_instance_profile: Some("NAME".to_owned()),
        ..Config::defaults("my-app")
    };
    assert_eq!(config, expected);
}

#[test]
fn folders_lend_their_names() {
    for (folder, name) in [
        ("my-app", Ok("my-app")),
        ("My App_2", Ok("my-app-2")),
        ("2048", Err(())),
        ("3d-printer", Ok("d-printer")),
        ("…", Err(())),
        (".config", Ok("config")),
        ("a--b", Ok("a-b")),
        ("Ünïcode", Ok("n-code")),
        ("a-very-long-folder-name-that-goes-on-and-on", Ok("a-very-long-folder-name-that-goes-on-and")),
    ] {
        let made = name_from_folder(folder);
        assert_eq!(made.as_deref().map_err(|_| ()), name, "{folder}");
        if let Ok(name) = made {
            parse(&format!("name: {name}"), "cluster.yaml").unwrap();
        }
    }
    let said = name_from_folder("2048").unwrap_err();
    assert!(said.contains("cluster init NAME"), "{said}");
}

#[test]
fn the_schema_has_the_fields_the_decoder_reads() {
    let schema = json_schema();
    for (path, fields) in decode::FIELDS {
        let properties = properties_at(&schema, path);
        let described: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        let read: BTreeSet<&str> = fields.iter().copied().collect();
        assert_eq!(described, read, "at {path:?}");
        for (name, property) in properties {
            let silent = matches!(name.as_str(), "key" | "value") && path.ends_with("taints[]");
            assert!(silent || property.get("description").is_some(), "{path}.{name}");
        }
    }
}

#[test]
fn the_schema_knows_no_mapping_that_the_decoder_does_not() {
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut mappings: Vec<&Value> = definitions.values().collect();
    mappings.push(&schema);
    mappings.push(&schema["properties"]["image"]);
    let closed = |mapping: &&&Value| mapping["additionalProperties"] == Value::Bool(false);
    // Volume is one definition and two places.
    assert_eq!(mappings.iter().filter(closed).count() + 1, decode::FIELDS.len());
    assert_eq!(mappings.iter().filter(closed).count(), mappings.len());
}

#[test]
fn the_schemas_defaults_are_the_decoders() {
    let schema = json_schema();
    let mut written = serde_json::json!({"name": "my-app"});
    for (name, property) in schema["properties"].as_object().unwrap() {
        if let Some(default) = property.get("default") {
            written[name] = default.clone();
        }
    }
    let config = parse(&written.to_string(), "defaults").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config, Config::defaults("my-app"));
}

/// The properties of the mapping at a path such as `workers[].taints[]`.
fn properties_at<'a>(schema: &'a Value, path: &str) -> &'a serde_json::Map<String, Value> {
    let mut node = schema;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        node = &node["properties"][part.trim_end_matches("[]")];
        if part.ends_with("[]") {
            node = &node["items"];
        }
        if let Some(target) = node.get("$ref").and_then(Value::as_str) {
            node = &schema["$defs"][target.trim_start_matches("#/$defs/")];
        }
    }
    node["properties"].as_object().unwrap()
}

#[test]
fn the_examples_are_valid() {
    let text = include_str!("../../../examples/two-groups.yaml");
    let config = super::parse(text, "two-groups.yaml").unwrap();
    assert_eq!(config.node_count(), 4);
}
