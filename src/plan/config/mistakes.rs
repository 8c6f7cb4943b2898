//! Every mistake a cluster.yaml can have: where it is said to be, the value, and the remedy.
//!
//! One row a mistake; what is asserted is the whole text that people read.

use super::parse;

/// The headlines of every mistake in `name: a` plus `text`, whose first line is then line 2.
fn said(text: &str) -> String {
    said_of(&format!("name: a\n{text}"))
}

fn said_of(text: &str) -> String {
    match parse(text, "f") {
        Ok(config) => panic!("no mistake found in {text:?}: {config:?}"),
        Err(diagnostics) => {
            let headline = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            let texts = diagnostics.to_string();
            texts.split("\n\n").map(headline).collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    let text = "name: my-app\nworkers:\n  - name: general\n    count: two\n    tpye: t3.small\n";
    let shown = parse(text, "cluster.yaml").unwrap_err().to_string();
    insta::assert_snapshot!(shown, @r#"
    cluster.yaml:4:12: workers[0].count: "two" is not a number; write a whole number from 0 to 500
      |
    4 |     count: two
      |            ^^^

    cluster.yaml:5:5: workers[0].tpye: there is no field "tpye"; did you mean type?
      |
    5 |     tpye: t3.small
      |     ^^^^
    "#);
}

#[test]
fn mistakes_of_yaml_itself() {
    let rows = [
        "name: a: b",
        "name: a\nname: b",
        "name: a\n---\nname: b",
        "name: a\n\tregion: us-east-1",
        "name: *other",
        "name: a\naccess:\n  <<: {via: auto}",
        "- name: a",
        "name: [a",
        "name: 'a",
        "1: a",
        "just words",
        "name: a\nworkers:\n- name: x\n count: 1",
    ];
    let all: Vec<String> = rows.iter().map(|row| said_of(row)).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    f:1:8: this is not YAML: mapping values are not allowed in this context; mend the line shown, or the one before it
    f:2:1: "name" is written twice; keep one of the two
    f:3:1: a second document begins here; write one cluster per file, without `---` between
    f:2:1: the line is indented with a tab; indent it with spaces
    f:1:7: the alias names no anchor; define it above with `&NAME`, or put the text in quotes
    f:3:3: merge keys (`<<`) are not read; write the fields out, or give the whole value an anchor
    f:1:1: a list is not a mapping; write its fields below it, indented: version, name, region, access, network, image, masters, workers, iamInstanceProfile, extraApiNames
    f:1:7: this is not YAML: unclosed bracket '['; mend the line shown, or the one before it
    f:1:7: this is not YAML: unclosed quote; mend the line shown, or the one before it
    f:1:1: a number stands where a field's name belongs; write a name, in quotes if it looks like something else
    f:1:1: "just words" is not a mapping; write its fields below it, indented: version, name, region, access, network, image, masters, workers, iamInstanceProfile, extraApiNames
    f:4:2: this is not YAML: while parsing a block mapping, did not find expected key; mend the line shown, or the one before it
    "#);
}

#[test]
fn mistakes_in_fields_names() {
    insta::assert_snapshot!(all(&[
        "regoin: us-east-1",
        "network: {pod_cidr: 10.1.0.0/16}",
        "podCidr: 10.1.0.0/16",
        "nodeGroups: []",
        "masters: {instanceType: t3.small}",
        "masters: {colour: red}",
        "workers: [{name: w, volume: {size: 10}}]",
        "workers: [{name: w, taints: [{key: k, effect: NoSchedule, op: x}]}]",
        "image: {ami: ami-0123456789abcdef0}",
    ]), @r#"
    f:2:1: regoin: there is no field "regoin"; did you mean region?
    f:2:11: network.pod_cidr: there is no field "pod_cidr"; did you mean podCidr?
    f:2:1: podCidr: there is no field "podCidr"; it belongs under network
    f:2:1: nodeGroups: there is no field "nodeGroups"; did you mean workers?
    f:2:11: masters.instanceType: there is no field "instanceType"; did you mean type?
    f:2:11: masters.colour: there is no field "colour"; the fields here are count, type, zones, volume
    f:2:30: workers[0].volume.size: there is no field "size"; did you mean sizeGiB?
    f:2:59: workers[0].taints[0].op: there is no field "op"; the fields here are key, value, effect
    f:2:9: image.ami: there is no field "ami"; did you mean id?
    "#);
}

#[test]
fn mistakes_in_kinds_of_values() {
    insta::assert_snapshot!(all(&[
        "workers: [{name: w, count: two}]",
        "workers: [{name: w, count: '2'}]",
        "workers: [{name: w, count: 2.5}]",
        "workers: [{name: w, count: [2]}]",
        "workers: [{name: w, count: true}]",
        "workers: [{name: w, count: }]",
        "workers: {general: {count: 1}}",
        "workers: general",
        "workers: [general]",
        "workers:",
        "region: 5",
        "region: [us-east-1]",
        "region:",
        "image: ami-0123456789abcdef0",
        "image: {owner: 136693071363, name: debian-12-amd64-*}",
        "access: {ssh: 192.0.2.1/32}",
        "access: {ssh: any}",
        "access: {servicePorts: 80}",
        "workers: [{name: w, labels: {gpu: true}}]",
        "workers: [{name: w, labels: {gpu: }}]",
        "workers: [{name: w, labels: [gpu]}]",
        "workers: [{name: w, taints: ['dedicated=db:NoSchedule']}]",
    ]), @r#"
    f:2:28: workers[0].count: "two" is not a number; write a whole number from 0 to 500
    f:2:28: workers[0].count: "2" is text here, not a number; write 2 without quotes
    f:2:28: workers[0].count: 2.5 is not a whole number; write a whole number from 0 to 500
    f:2:28: workers[0].count: a list is not a whole number; write a whole number from 0 to 500
    f:2:28: workers[0].count: true is not a whole number; write a whole number from 0 to 500
    f:2:26: workers[0].count: there is no value; write one, or leave the whole line out for the default
    f:2:10: workers: a mapping is not a list of groups; begin each group with - name: NAME; [] is none
    f:2:10: workers: "general" is not a list of groups; begin each group with - name: NAME; [] is none
    f:2:11: workers[0]: "general" is not a mapping; write its fields below it, indented: name, count, type, zones, labels, taints, volume
    f:2:8: workers: there is no value; write one, or leave the whole line out for the default
    f:2:9: region: "5" is not a region's name; write one like us-east-1
    f:2:9: region: a list stands where text belongs; write a single value
    f:2:7: region: there is no value; write one, or leave the whole line out for the default
    f:2:8: image: "ami-0123456789abcdef0" is not a mapping; write its fields below it, indented: id, owner, name, architecture, user
    f:2:16: image.owner: 136693071363 is a number here, not text; put it in quotes: "136693071363"
    f:2:15: access.ssh: "192.0.2.1/32" is neither auto nor a list; write a list, even of one: [192.0.2.1/32]
    f:2:15: access.ssh: "any" is neither auto nor a list; write auto, or a list such as [203.0.113.0/24]
    f:2:24: access.servicePorts: 80 is not a list; write a list, even of one: [80]
    f:2:35: workers[0].labels.gpu: true is a truth value here, not text; put it in quotes: "true"
    f:2:33: workers[0].labels.gpu: the label has no value; write one, or "" for an empty one
    f:2:29: workers[0].labels: a list is not a mapping; write its fields below it, indented: KEY: VALUE
    f:2:30: workers[0].taints[0]: "dedicated=db:NoSchedule" is not a mapping; write {key: dedicated, value: db, effect: NoSchedule}
    "#);
}

#[test]
fn mistakes_in_names() {
    let names = ["", "My_App", "9lives", "a-", "a-name-of-more-than-forty-characters-is-too-long"];
    let of_clusters: Vec<String> = names.iter().map(|name| said_of(&format!("name: '{name}'"))).collect();
    insta::assert_snapshot!(of_clusters.join("\n"), @r#"
    f:1:7: name: "" is not a name; write small letters, digits and inner hyphens, a letter first, such as my-app
    f:1:7: name: "My_App" is not a name; write small letters, digits and inner hyphens, a letter first, such as my-app
    f:1:7: name: "9lives" is not a name; write small letters, digits and inner hyphens, a letter first, such as lives
    f:1:7: name: "a-" is not a name; write small letters, digits and inner hyphens, a letter first, such as a
    f:1:7: name: "a-name-of-more-than-forty-characters-is-too-long" has 48 characters; write at most 40
    "#);
    insta::assert_snapshot!(said_of("region: us-east-1"), @r"
    f:1:1: name: the name is missing; write name: my-app
    ");
    insta::assert_snapshot!(all(&[
        "workers: [{name: master}]",
        "workers: [{name: a-1}]",
        "workers: [{name: Web}]",
        "workers: [{name: more-than-twenty-letters}]",
        "workers: [{count: 1}]",
        "workers: [{name: w}, {name: x}, {name: w}]",
        "extraApiNames: ['https://api.example.com:6443/']",
        "extraApiNames: ['*.example.com']",
        "extraApiNames: [api_1.example.com]",
        "extraApiNames: [10.0.0.300]",
        "extraApiNames: [API.example.com]",
        "extraApiNames: [a.example.com, a.example.com]",
        "iamInstanceProfile: arn:aws:iam::123456789012:instance-profile/ops/nodes",
        "iamInstanceProfile: 'my nodes'",
    ]), @r#"
    f:2:18: workers[0].name: "master" is the group of the masters; choose another name
    f:2:18: workers[0].name: "a-1" ends in a number, as machines do (a-1-0); write a1
    f:2:18: workers[0].name: "Web" is not a name; write small letters, digits and inner hyphens, a letter first, such as web
    f:2:18: workers[0].name: "more-than-twenty-letters" has 24 characters; write at most 20
    f:2:11: workers[0].name: the name is missing; write name: general
    f:2:40: workers[2].name: "w" names workers[0] already; choose another name, or make them one group
    f:2:17: extraApiNames[0]: "https://api.example.com:6443/" is a URL; write only its host: api.example.com
    f:2:17: extraApiNames[0]: "*.example.com" is a wildcard; write each name out
    f:2:17: extraApiNames[0]: "api_1.example.com" is neither a DNS name nor an IP address; write one like api.example.com or 203.0.113.7
    f:2:17: extraApiNames[0]: "10.0.0.300" is neither a DNS name nor an IP address; write one like api.example.com or 203.0.113.7
    f:2:17: extraApiNames[0]: "API.example.com" has capital letters; write api.example.com
    f:2:32: extraApiNames[1]: "a.example.com" is in the list twice; leave one of them out
    f:2:21: iamInstanceProfile: "arn:aws:iam::123456789012:instance-profile/ops/nodes" is an ARN; write only its name: nodes
    f:2:21: iamInstanceProfile: "my nodes" is not an instance profile's name; write 1 to 128 letters, digits and _+=,.@-
    "#);
}

#[test]
fn mistakes_in_places() {
    insta::assert_snapshot!(all(&[
        "region: us-east-1a",
        "region: US_East_1",
        "region: mars",
        "network: {zones: [us-east-1]}",
        "network: {zones: [use1-az1]}",
        "network: {zones: [us-west-2-lax-1a]}",
        "network: {zones: [a]}",
        "network: {zones: []}",
        "network: {zones: us-east-1a}",
        "network: {zones: [us-east-1a, us-east-1a]}",
        "network: {zones: [us-east-1a, eu-west-1a]}",
        "region: eu-west-1\nnetwork: {zones: [us-east-1a]}",
        "network: {zones: [us-east-1a]}\nworkers: [{name: w, zones: [us-east-1b]}]",
        "network: {zones: [us-east-1z]}",
    ]), @r#"
    f:2:9: region: "us-east-1a" is a zone; write its region: us-east-1
    f:2:9: region: "US_East_1" is not a region's name; write one like us-east-1
    f:2:9: region: "mars" is not a region's name; write one like us-east-1
    f:2:19: network.zones[0]: "us-east-1" is a region; write one of its zones, such as us-east-1a
    f:2:19: network.zones[0]: "use1-az1" is a zone's id; write the zone's name, such as us-east-1a
    f:2:19: network.zones[0]: "us-west-2-lax-1a" is a local or wavelength zone, which this version does not use; write an availability zone, such as us-east-1a
    f:2:19: network.zones[0]: "a" is not a zone's name; write one like us-east-1a: a region and a letter from a to h
    f:2:18: network.zones: the list is empty; write auto, or a list such as [us-east-1a, us-east-1b]
    f:2:18: network.zones: "us-east-1a" is neither auto nor a list; write a list, even of one: [us-east-1a]
    f:2:31: network.zones[1]: "us-east-1a" is in the list twice; leave one of them out
    f:2:31: network.zones[1]: "eu-west-1a" is not in us-east-1, as other zones here are; write zones of one region
    f:3:19: network.zones[0]: "us-east-1a" is not in region eu-west-1; write one like eu-west-1a, or change region
    f:3:29: workers[0].zones[0]: "us-east-1b" is not one of network.zones; write one of us-east-1a, or add it there
    f:2:19: network.zones[0]: "us-east-1z" is not a zone's name; write one like us-east-1a: a region and a letter from a to h
    "#);
}

#[test]
fn mistakes_in_ranges_and_access() {
    insta::assert_snapshot!(all(&[
        "network: {cidr: 10.20.0.5/16}",
        "network: {cidr: 10.20.0.0}",
        "network: {cidr: 10.20.0.0/33}",
        "network: {cidr: 10.0.0.0/8}",
        "network: {cidr: 10.20.0.0/28}",
        "network: {cidr: 8.8.0.0/16}",
        "network: {cidr: 'fd00::/48'}",
        "network: {cidr: 10.96.0.0/16}",
        "network: {podCidr: 10.20.128.0/17}",
        "network: {serviceCidr: 10.0.0.0/8}",
        "access: {ssh: ['::/0']}",
        "access: {ssh: [192.0.2.1]}",
        "access: {ssh: [192.0.2.9/24]}",
        "access: {ssh: [auto]}",
        "access: {ssh: [any]}",
        "access: {ssh: []}",
        "access: {api: [192.0.2.0/24, 192.0.2.0/24]}",
        "access: {via: publik}",
        "access: {via: vpn}",
        "access: {addressUrl: 'http://checkip.amazonaws.com'}",
        "access: {addressUrl: checkip.amazonaws.com}",
        "access: {addressUrl: 'https://me:pw@ip.example.com'}",
        "access: {servicePorts: [0]}",
        "access: {servicePorts: [70000]}",
        "access: {servicePorts: [22]}",
        "access: {servicePorts: [6443]}",
        "access: {servicePorts: [2379]}",
        "access: {servicePorts: [10250]}",
        "access: {servicePorts: [30080]}",
        "access: {servicePorts: [443, 443]}",
        "access: {servicePorts: [http]}",
    ]), @r#"
    f:2:17: network.cidr: "10.20.0.5/16" has bits set after its first 16; write 10.20.0.0/16
    f:2:17: network.cidr: "10.20.0.0" has no prefix length; write one, as in 10.20.0.0/16
    f:2:17: network.cidr: "10.20.0.0/33" is not an IPv4 range; write one like 10.20.0.0/16
    f:2:17: network.cidr: "10.0.0.0/8" is a /8; write a range from /16 to /24, such as 10.20.0.0/16
    f:2:17: network.cidr: "10.20.0.0/28" is a /28; write a range from /16 to /24, such as 10.20.0.0/16
    f:2:17: network.cidr: "8.8.0.0/16" is not a private range; write one inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10, such as 10.20.0.0/16
    f:2:17: network.cidr: "fd00::/48" is IPv6, which is not built yet; write an IPv4 range like 10.20.0.0/16
    f:2:17: network.cidr: 10.96.0.0/16 overlaps network.serviceCidr 10.96.0.0/16; write ranges that share no address
    f:2:20: network.podCidr: 10.20.128.0/17 overlaps network.cidr 10.20.0.0/16; write ranges that share no address
    f:2:24: network.serviceCidr: "10.0.0.0/8" is a /8; write a range from /12 to /24, such as 10.96.0.0/16
    f:2:16: access.ssh[0]: "::/0" is IPv6, which is not built yet; write an IPv4 range like 203.0.113.0/24
    f:2:16: access.ssh[0]: "192.0.2.1" has no prefix length; write 192.0.2.1/32 for this one address
    f:2:16: access.ssh[0]: "192.0.2.9/24" has bits set after its first 24; write 192.0.2.0/24, or 192.0.2.9/32 for this one address
    f:2:16: access.ssh[0]: "auto" stands in a list; write it alone, without brackets
    f:2:16: access.ssh[0]: "any" is not an IPv4 range; write 0.0.0.0/0 if everyone is meant
    f:2:15: access.ssh: the list is empty; write auto, or a list such as [203.0.113.0/24]
    f:2:30: access.api[1]: "192.0.2.0/24" is in the list twice; leave one of them out
    f:2:15: access.via: "publik" is none of the words here; did you mean public? The words here are auto, public, private
    f:2:15: access.via: "vpn" is none of the words here; write one of auto, public, private
    f:2:22: access.addressUrl: "http://checkip.amazonaws.com" is not encrypted: anyone on the way could choose who gets in; write one like https://checkip.amazonaws.com
    f:2:22: access.addressUrl: "checkip.amazonaws.com" is not an https URL; write one like https://checkip.amazonaws.com
    f:2:22: access.addressUrl: "https://me:pw@ip.example.com" has no plain host after https://; write one like https://checkip.amazonaws.com
    f:2:25: access.servicePorts[0]: 0 is not a port; write one from 1 to 65535
    f:2:25: access.servicePorts[0]: 70000 is not a port; write one from 1 to 65535
    f:2:25: access.servicePorts[0]: 22 is kept for SSH, which access.ssh opens; leave it out
    f:2:25: access.servicePorts[0]: 6443 is kept for the Kubernetes API, which access.api opens; leave it out
    f:2:25: access.servicePorts[0]: 2379 is kept for etcd, which only masters reach; leave it out
    f:2:25: access.servicePorts[0]: 10250 is kept for the agent, which only masters reach; leave it out
    f:2:25: access.servicePorts[0]: 30080 is kept for node ports, which access.services opens already; leave it out
    f:2:30: access.servicePorts[1]: 443 is in the list twice; leave one of them out
    f:2:25: access.servicePorts[0]: "http" is not a number; write a port, such as 443
    "#);
}

#[test]
fn mistakes_in_machines() {
    insta::assert_snapshot!(all(&[
        "masters: {count: 0}",
        "masters: {count: 2}",
        "masters: {count: 3}",
        "masters: {count: 5}",
        "masters: {count: 7}",
        "workers: [{name: w, count: -1}]",
        "workers: [{name: w, count: 501}]",
        "workers: [{name: w, count: 300}, {name: x, count: 300}]",
        "workers: [{name: w, count: 256}]",
        "network: {cidr: 10.20.0.0/24}\nworkers: [{name: w, count: 27}]",
        "masters: {type: t3small}",
        "masters: {type: T3.Small}",
        "masters: {type: mac2.metal}",
        "masters: {type: t4g.small}",
        "image: {architecture: arm64}",
        "image: {architecture: amd64}",
        "image: {architecture: riscv}",
        "masters: {volume: {sizeGiB: 4}}",
        "masters: {volume: {sizeGiB: 20000}}",
        "image: {id: ami-123}",
        "image: {id: ami-0123456789abcdef0, owner: amazon, name: al2023-*}",
        "image: {owner: amazon}",
        "image: {name: 'ubuntu-*'}",
        "image: {owner: debian, name: debian-12-*}",
        "image: {owner: self, name: x}",
        "image: {user: root}",
        "image: {user: 'a b'}",
    ]), @r#"
    f:2:18: masters.count: 0 masters make no cluster; write 1
    f:2:18: masters.count: 2 masters survive no more failures than 1: etcd needs a majority, so the count is odd; write 1, for this version runs a single one
    f:2:18: masters.count: 3 masters are not built yet: this version runs a single one; write 1
    f:2:18: masters.count: 5 masters are not built yet: this version runs a single one; write 1
    f:2:18: masters.count: 7 masters are too many: each write waits for more than half of them; write 1, for this version runs a single one
    f:2:28: workers[0].count: -1 is not a count of machines; write a number from 0 to 500
    f:2:28: workers[0].count: 501 is not a count of machines; write a number from 0 to 500
    f:2:10: workers: there are 601 machines in all; write counts of at most 500 together
    f:2:10: workers: 10.244.0.0/16 has room for 256 machines of a /24 each, not for 257; write a wider range, or fewer machines
    f:2:17: network.cidr: an eighth of 10.20.0.0/24 has addresses for 27 machines, and one zone gets 28; write a wider range, or name more zones
    f:2:17: masters.type: "t3small" is not an instance type; write FAMILY.SIZE, such as t3.small
    f:2:17: masters.type: "T3.Small" is not an instance type; write FAMILY.SIZE, such as t3.small
    f:2:17: masters.type: "mac2.metal" runs only on a dedicated host; write a type that runs Linux, such as t3.small
    f:2:17: masters.type: "t4g.small" runs arm64 while other types here are x86_64; write types and an image of one architecture
    f:2:23: image.architecture: "t3.small" runs x86_64 while image.architecture is arm64; write types and an image of one architecture
    f:2:23: image.architecture: "amd64" is not EC2's word; write x86_64
    f:2:23: image.architecture: "riscv" is none of the words here; write one of x86_64, arm64
    f:2:29: masters.volume.sizeGiB: 4 is not a size in GiB for a root volume; write a number from 8 to 16384
    f:2:29: masters.volume.sizeGiB: 20000 is not a size in GiB for a root volume; write a number from 8 to 16384
    f:2:13: image.id: "ami-123" is not an image's id; write ami- and 17 (or 8) hexadecimal digits, or owner and name instead
    f:2:43: image.owner: image.id names the image already; leave out either id, or both owner and name
    f:2:16: image.owner: an image's owner says nothing without its name; write both, such as name: debian-12-amd64-*, or leave both out
    f:2:15: image.name: an image's name says nothing without its owner; write both, such as owner: "136693071363", or leave both out
    f:2:16: image.owner: "debian" is not an account; write its 12 digits in quotes, amazon, aws-marketplace or self
    f:2:28: image.name: "x" is not an image's name; write 3 to 128 characters, * and ? standing for any, such as debian-12-amd64-*
    f:2:15: image.user: "root" may not log in on cloud images; write the image's login user, such as admin
    f:2:15: image.user: "a b" is not a user's name; write the image's login user, such as admin
    "#);
    insta::assert_snapshot!(said_of("name: a\nversion: 2"), @r"
    f:2:10: version: this build reads format version 1, not 2; write 1, or use the newer cluster the file was written for
    ");
    insta::assert_snapshot!(said_of("name: a\nversion: 0"), @r"
    f:2:10: version: this build reads format version 1, not 0; write 1
    ");
    insta::assert_snapshot!(said_of("name: a\nversion: v1"), @r#"
    f:2:10: version: "v1" is not a number; write 1
    "#);
}

#[test]
fn mistakes_in_labels_and_taints() {
    let label = |label: &str| format!("workers: [{{name: w, labels: {{{label}}}}}]");
    let taint = |taint: &str| format!("workers: [{{name: w, taints: [{taint}]}}]");
    let rows = [
        label("kubernetes.io/os: linux"),
        label("node-role.kubernetes.io/worker: ''"),
        label("node-restriction.kubernetes.io/x: y"),
        label("example.k8s.io/x: y"),
        label("-x: y"),
        label("a/b/c: y"),
        label("Example.com/x: y"),
        label("tier: 'no spaces'"),
        taint("{value: x, effect: NoSchedule}"),
        taint("{key: x}"),
        taint("{key: x, effect: noschedule}"),
        taint("{key: x, effect: Never}"),
        taint("{key: node.kubernetes.io/not-ready, effect: NoExecute}"),
        taint("{key: x, effect: NoSchedule}, {key: x, value: y, effect: NoSchedule}"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    insta::assert_snapshot!(all(&rows), @r#"
    f:2:30: workers[0].labels.kubernetes.io/os: "kubernetes.io/os" is set by the node itself; leave it out
    f:2:30: workers[0].labels.node-role.kubernetes.io/worker: "node-role.kubernetes.io/worker" is a label that no node may give itself; use a domain of your own, or set it later: kubectl label node
    f:2:30: workers[0].labels.node-restriction.kubernetes.io/x: "node-restriction.kubernetes.io/x" is a label that no node may give itself; use a domain of your own, or set it later: kubectl label node
    f:2:30: workers[0].labels.example.k8s.io/x: "example.k8s.io/x" is a label that no node may give itself; use a domain of your own, or set it later: kubectl label node
    f:2:30: workers[0].labels.-x: "-x" is not a label's key; write [DOMAIN/]NAME, the name of at most 63 letters, digits, -, _ and ., such as example.com/tier
    f:2:30: workers[0].labels.a/b/c: "a/b/c" is not a label's key; write [DOMAIN/]NAME, the name of at most 63 letters, digits, -, _ and ., such as example.com/tier
    f:2:30: workers[0].labels.Example.com/x: "Example.com/x" is not a label's key; write [DOMAIN/]NAME, the name of at most 63 letters, digits, -, _ and ., such as example.com/tier
    f:2:36: workers[0].labels.tier: "no spaces" is not a value of a label or taint; write at most 63 letters, digits, -, _ and ., a letter or digit first and last
    f:2:30: workers[0].taints[0].key: the taint's key is missing; write key: example.com/dedicated
    f:2:30: workers[0].taints[0].effect: the taint's effect is missing; write effect: NoSchedule
    f:2:47: workers[0].taints[0].effect: "noschedule" is none of the words here; did you mean NoSchedule? The words here are NoSchedule, PreferNoSchedule, NoExecute
    f:2:47: workers[0].taints[0].effect: "Never" is none of the words here; write one of NoSchedule, PreferNoSchedule, NoExecute
    f:2:36: workers[0].taints[0].key: "node.kubernetes.io/not-ready" is set and removed by the cluster itself; leave it out, or use a domain of your own
    f:2:60: workers[0].taints[1]: "x" with effect NoSchedule is in the list twice; leave one of them out: Kubernetes keeps one value for each
    "#);
}

#[test]
fn all_mistakes_of_a_file_are_said_in_its_order() {
    let text = "version: 9\nname: A\nworkers:\n  - {name: w, count: x}\n  - {nam: v}\nregoin: x\n";
    insta::assert_snapshot!(said_of(text), @r#"
    f:1:10: version: this build reads format version 1, not 9; write 1, or use the newer cluster the file was written for
    f:2:7: name: "A" is not a name; write small letters, digits and inner hyphens, a letter first, such as a
    f:4:22: workers[0].count: "x" is not a number; write a whole number from 0 to 500
    f:5:6: workers[1].nam: there is no field "nam"; did you mean name?
    f:6:1: regoin: there is no field "regoin"; did you mean region?
    "#);
}

#[test]
fn a_rule_between_fields_is_silent_while_one_of_them_is_wrong() {
    insta::assert_snapshot!(all(&[
        "network: {cidr: 10.96.0.0/99}",
        "masters: {type: t4gsmall}\nimage: {architecture: x86_64}",
        "region: nowhere\nnetwork: {zones: [us-east-1a, us-east-1b]}",
    ]), @r#"
    f:2:17: network.cidr: "10.96.0.0/99" is not an IPv4 range; write one like 10.20.0.0/16
    f:2:17: masters.type: "t4gsmall" is not an instance type; write FAMILY.SIZE, such as t3.small
    f:2:9: region: "nowhere" is not a region's name; write one like us-east-1
    "#);
}

#[test]
fn a_files_size_and_depth_are_bounded() {
    let long = format!("name: a\n# {}", "x".repeat(300_000));
    insta::assert_snapshot!(said_of(&long), @r"
    f:1:1: the file has 300010 bytes; a cluster.yaml has at most 262144
    ");
    let mut bomb = "a: &a [x]\n".to_owned();
    for (this, that) in ["b", "c", "d", "e", "f", "g"].iter().zip("abcdef".chars()) {
        let nine = vec![format!("*{that}"); 9].join(", ");
        bomb.push_str(&format!("{this}: &{this} [{nine}]\n"));
    }
    insta::assert_snapshot!(said_of(&bomb), @r"
    f:6:8: the document is too large or too deep, its aliases expanded; write fewer or smaller parts
    ");
    let deep = format!("name: a\nworkers: {}{}", "[".repeat(100), "]".repeat(100));
    insta::assert_snapshot!(said_of(&deep), @r"
    f:2:41: the document is too large or too deep, its aliases expanded; write fewer or smaller parts
    ");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let shown = parse("name: \"a\\e[31m\"\n", "f").unwrap_err().to_string();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

fn all(rows: &[&str]) -> String {
    rows.iter().map(|row| said(row)).collect::<Vec<_>>().join("\n")
}
