//! Instance metadata: a request and an instance -> a response.
//!
//! Pure. `serve` finds the instance by the source address and keeps the session
//! tokens; here is what AWS answers on which path. Covers what cloud-init's Ec2
//! data source reads and what people read by hand. There are no IAM credentials.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::model::Instance;
use crate::names;

/// What a request brought to prove that it may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// No token: version 1.
    Absent,
    /// One this server gave to this instance and that has not run out.
    Valid,
    /// Anything else.
    Invalid,
}

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The bytes, as they are.
    pub(crate) body: Vec<u8>,
}

/// Versions that the real service has and tools ask for by name.
const VERSIONS: &[&str] = &["2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"];

/// Seconds a token may live.
pub(crate) const MAX_TOKEN_TTL_S: u64 = 21_600;

/// Whether `path` is where tokens are had.
pub(crate) fn is_token_path(path: &str) -> bool {
    path == "/latest/api/token"
}

/// The life of a token, from the request's header. `None`: 400, as on AWS.
pub(crate) fn token_ttl_s(header: Option<&str>) -> Option<u64> {
    header?.trim().parse().ok().filter(|ttl| (1..=MAX_TOKEN_TTL_S).contains(ttl))
}

/// Answers a GET. `booting` opens version 1 although the instance wants tokens:
/// in a container cloud-init does not see that it is on AWS and asks without.
pub(crate) fn answer(path: &str, instance: &Instance, token: Token, booting: bool) -> Response {
    if !instance.metadata_enabled {
        return status(403, "Forbidden");
    }
    let open = !instance.tokens_required || booting;
    match token {
        Token::Valid => {}
        Token::Absent if open => {}
        Token::Absent | Token::Invalid => return status(401, "Unauthorized"),
    }
    let path = path.trim_start_matches('/');
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if version.is_empty() {
        return ok(VERSIONS.join("\n"));
    }
    if !VERSIONS.contains(&version) {
        return status(404, "Not Found");
    }
    look_up(&tree(instance), rest.trim_end_matches('/'))
}

/// A leaf's bytes, or the names below a folder, folders with a slash.
fn look_up(tree: &BTreeMap<String, Vec<u8>>, path: &str) -> Response {
    if let Some(body) = tree.get(path) {
        return Response { status: 200, body: body.clone() };
    }
    if path == "meta-data/public-keys" {
        // The one listing that is not of names: "0=demo".
        return tree.get("meta-data/public-keys/0=").map_or_else(
            || status(404, "Not Found"),
            |name| ok(format!("0={}", String::from_utf8_lossy(name))),
        );
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut names: Vec<String> = Vec::new();
    for below in tree.keys().filter_map(|key| key.strip_prefix(&prefix)) {
        let name = below.split_once('/').map_or(below.to_owned(), |(folder, _)| format!("{folder}/"));
        if !name.ends_with('=') && names.last() != Some(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { status(404, "Not Found") } else { ok(names.join("\n")) }
}

/// Everything there is to read about an instance, by path below the version.
fn tree(instance: &Instance) -> BTreeMap<String, Vec<u8>> {
    let mut tree = BTreeMap::new();
    for (path, value) in facts(instance) {
        tree.insert(format!("meta-data/{path}"), value.into_bytes());
    }
    let mac = names::mac(instance.private_ip);
    for (path, value) in interface_facts(instance, &mac) {
        tree.insert(format!("meta-data/network/interfaces/macs/{mac}/{path}"), value.into_bytes());
    }
    if let Some(key) = &instance.key {
        tree.insert("meta-data/public-keys/0=".to_owned(), key.name.clone().into_bytes());
        tree.insert(
            "meta-data/public-keys/0/openssh-key".to_owned(),
            format!("{}\n", key.material).into_bytes(),
        );
    }
    tree.insert("dynamic/instance-identity/document".to_owned(), document(instance).into_bytes());
    match STANDARD.decode(&instance.user_data) {
        Ok(bytes) if !bytes.is_empty() => {
            tree.insert("user-data".to_owned(), bytes);
        }
        _ => {}
    }
    tree
}

fn facts(instance: &Instance) -> Vec<(&'static str, String)> {
    let hostname = names::hostname(instance.private_ip, &instance.region);
    let mut facts = vec![
        ("ami-id", instance.image.clone()),
        ("ami-launch-index", "0".to_owned()),
        ("ami-manifest-path", "(unknown)".to_owned()),
        ("block-device-mapping/ami", "xvda".to_owned()),
        ("block-device-mapping/root", "/dev/xvda".to_owned()),
        ("hostname", hostname.clone()),
        ("instance-action", "none".to_owned()),
        ("instance-id", instance.id.clone()),
        ("instance-life-cycle", "on-demand".to_owned()),
        ("instance-type", instance.instance_type.clone()),
        ("local-hostname", hostname),
        ("local-ipv4", instance.private_ip.to_string()),
        ("mac", names::mac(instance.private_ip)),
        ("placement/availability-zone", instance.zone.clone()),
        ("placement/region", instance.region.clone()),
        ("profile", "default-hvm".to_owned()),
        ("reservation-id", instance.reservation.clone()),
        ("security-groups", lines(instance.groups.iter().map(|(_, name)| name))),
        ("services/domain", "amazonaws.com".to_owned()),
        ("services/partition", "aws".to_owned()),
    ];
    facts.extend(instance.public_ips.first().map(|ip| ("public-ipv4", ip.to_string())));
    facts
}

fn interface_facts(instance: &Instance, mac: &str) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("device-number", "0".to_owned()),
        ("interface-id", instance.interface.clone()),
        ("local-hostname", names::hostname(instance.private_ip, &instance.region)),
        ("local-ipv4s", instance.private_ip.to_string()),
        ("mac", mac.to_owned()),
        ("owner-id", instance.account.clone()),
        ("security-group-ids", lines(instance.groups.iter().map(|(id, _)| id))),
        ("security-groups", lines(instance.groups.iter().map(|(_, name)| name))),
        ("subnet-id", instance.subnet.clone()),
        ("subnet-ipv4-cidr-block", instance.subnet_cidr.to_string()),
        ("vpc-id", instance.vpc.clone()),
        ("vpc-ipv4-cidr-block", instance.vpc_cidr.to_string()),
        ("vpc-ipv4-cidr-blocks", instance.vpc_cidr.to_string()),
    ];
    facts.extend(instance.public_ips.first().map(|ip| ("public-ipv4s", ip.to_string())));
    facts
}

fn lines<'a>(values: impl Iterator<Item = &'a String>) -> String {
    values.cloned().collect::<Vec<_>>().join("\n")
}

fn document(instance: &Instance) -> String {
    let document = json!({
        "accountId": instance.account,
        "architecture": "x86_64",
        "availabilityZone": instance.zone,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "privateIp": instance.private_ip.to_string(),
        "region": instance.region,
        "version": "2017-09-30",
    });
    format!("{document:#}")
}

fn ok(text: String) -> Response {
    Response { status: 200, body: text.into_bytes() }
}

fn status(status: u16, text: &str) -> Response {
    Response { status, body: text.as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::instance;

    fn get(path: &str) -> (u16, String) {
        let response = answer(path, &instance("i-0aaa", "10.0.1.5"), Token::Valid, false);
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn leaves_and_folders_read_as_on_aws() {
        for (path, expected) in [
            ("/latest/meta-data/instance-id", "i-0aaa"),
            ("/2021-03-23/meta-data/local-ipv4", "10.0.1.5"),
            ("/latest/meta-data/hostname", "ip-10-0-1-5.ec2.internal"),
            ("/latest/meta-data/placement/", "availability-zone\nregion"),
            ("/latest/meta-data/public-keys/", "0=demo"),
            ("/latest/meta-data/public-keys/0/", "openssh-key"),
            ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA demo\n"),
            ("/latest/meta-data/network/interfaces/macs/", "02:57:0a:00:01:05/"),
            (
                "/latest/meta-data/network/interfaces/macs/02:57:0a:00:01:05/subnet-ipv4-cidr-block",
                "10.0.1.0/24",
            ),
            ("/latest/user-data", "#cloud-config\n"),
            ("/latest/", "dynamic/\nmeta-data/\nuser-data"),
            ("/latest", "dynamic/\nmeta-data/\nuser-data"),
        ] {
            assert_eq!(get(path), (200, expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn the_folder_of_everything_lists_every_leaf_once() {
        insta::assert_snapshot!(get("/latest/meta-data/").1, @r#"
        ami-id
        ami-launch-index
        ami-manifest-path
        block-device-mapping/
        hostname
        instance-action
        instance-id
        instance-life-cycle
        instance-type
        local-hostname
        local-ipv4
        mac
        network/
        placement/
        profile
        public-ipv4
        public-keys/
        reservation-id
        security-groups
        services/
        "#);
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        for path in
            ["/1999-01-01/meta-data/", "/latest/meta-data/iam/", "/latest/meta-data/instance-i", "/nonsense"]
        {
            assert_eq!(get(path).0, 404, "{path}");
        }
    }

    #[test]
    fn an_instance_without_a_key_or_user_data_has_none() {
        let bare = Instance { key: None, user_data: String::new(), ..instance("i-0aaa", "10.0.1.5") };
        for path in ["/latest/meta-data/public-keys/", "/latest/user-data"] {
            assert_eq!(answer(path, &bare, Token::Valid, false).status, 404, "{path}");
        }
    }

    #[test]
    fn version_1_is_open_only_where_the_instance_allows_it_or_while_it_boots() {
        let required = instance("i-0aaa", "10.0.1.5");
        let optional = Instance { tokens_required: false, ..required.clone() };
        let disabled = Instance { metadata_enabled: false, ..required.clone() };
        for (instance, token, booting, expected) in [
            (&required, Token::Absent, false, 401),
            (&required, Token::Absent, true, 200),
            (&required, Token::Valid, false, 200),
            (&required, Token::Invalid, true, 401),
            (&optional, Token::Absent, false, 200),
            (&optional, Token::Invalid, false, 401),
            (&disabled, Token::Valid, true, 403),
        ] {
            let got = answer("/latest/meta-data/instance-id", instance, token, booting).status;
            assert_eq!(got, expected, "{token:?} booting={booting}");
        }
    }

    #[test]
    fn a_token_lives_between_a_second_and_six_hours() {
        for (header, expected) in [
            (None, None),
            (Some("0"), None),
            (Some("60"), Some(60)),
            (Some("21601"), None),
            (Some("x"), None),
        ] {
            assert_eq!(token_ttl_s(header), expected, "{header:?}");
        }
    }

    #[test]
    fn compressed_user_data_arrives_byte_for_byte() {
        let bytes = [0x1f_u8, 0x8b, 0, 255, 10];
        let instance = Instance { user_data: STANDARD.encode(bytes), ..instance("i-0aaa", "10.0.1.5") };
        assert_eq!(answer("/latest/user-data", &instance, Token::Valid, false).body, bytes);
    }
}
