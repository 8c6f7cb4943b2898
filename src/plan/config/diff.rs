//! What changed between two versions of a cluster.yaml, and which changes may run.
//!
//! Owns the verdict on every field: an edit runs if no machine has to be replaced or removed for
//! it; any other is refused, with the field and the machines it would cost.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::{Config, OrAuto, Slot, WorkerGroup};
use crate::step::Role;

/// One changed field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The field: `workers.general.count`; groups go by name, for they may have moved.
    pub path: String,
    /// What it was; empty if it is new.
    pub old: String,
    /// What it is; empty if it is gone.
    pub new: String,
    /// Whether it may run.
    pub verdict: Verdict,
}

/// Whether an edit may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// No machine is replaced or removed. Closing a port or CIDR counts: only a rule goes.
    Additive,
    /// It would cost machines, or the whole cluster.
    Refused {
        /// Why, and what to do instead.
        reason: String,
        /// The slots it would cost; empty if it concerns no machine by itself.
        nodes: Vec<String>,
    },
}

impl Edit {
    /// Whether the edit may run.
    pub fn is_additive(&self) -> bool {
        self.verdict == Verdict::Additive
    }
}

impl fmt::Display for Edit {
    /// `masters.type: t3.small -> t3.large: REASON (master-0)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match (self.old.as_str(), self.new.as_str()) {
            ("", new) => write!(f, "+ {new}")?,
            (old, "") => write!(f, "- {old}")?,
            (old, new) => write!(f, "{old} -> {new}")?,
        }
        if let Verdict::Refused { reason, nodes } = &self.verdict {
            write!(f, ": {reason}")?;
            if !nodes.is_empty() {
                write!(f, " ({})", listed(nodes))?;
            }
        }
        Ok(())
    }
}

/// Every change from `old`, what was last applied, to `new`, in the file's order.
pub fn diff(old: &Config, new: &Config) -> Vec<Edit> {
    let mut diff = Diff { old, edits: Vec::new() };
    diff.identity(new);
    diff.access(new);
    diff.network(new);
    diff.machines(new);
    diff.names("extraApiNames", &old.extra_api_names, &new.extra_api_names);
    diff.edits
}

struct Diff<'a> {
    old: &'a Config,
    edits: Vec<Edit>,
}

const REPLACING: &str = "running machines are not changed in this version; put it back";
const REGROUPING: &str = "running machines are not changed in this version; put it back, or \
                          write a group of its own";
const REMOVING: &str = "machines are not removed in this version; put it back, or take the whole \
                        cluster down with `cluster down`";
const FOR_GOOD: &str = "it is fixed for the cluster's lifetime; put it back, or make another \
                        cluster under another name";

impl Diff<'_> {
    fn identity(&mut self, new: &Config) {
        let old = self.old;
        self.for_good("name", &old.name, &new.name);
        if let (Some(was), Some(is)) = (&old.region, &new.region) {
            self.for_good("region", was, is);
        }
    }

    fn access(&mut self, new: &Config) {
        let (old, new) = (&self.old.access, &new.access);
        self.additive("access.via", old.via.as_str(), new.via.as_str());
        self.additive("access.addressUrl", &old.address_url, &new.address_url);
        self.additive("access.ssh", &sources(&old.ssh), &sources(&new.ssh));
        self.additive("access.api", &sources(&old.api), &sources(&new.api));
        self.additive("access.services", &sources(&old.services), &sources(&new.services));
        let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>();
        self.names("access.servicePorts", &ports(&old.service_ports), &ports(&new.service_ports));
    }

    fn network(&mut self, new: &Config) {
        let (old, new) = (&self.old.network, &new.network);
        for (path, was, is) in [
            ("network.cidr", old.cidr, new.cidr),
            ("network.podCidr", old.pod_cidr, new.pod_cidr),
            ("network.serviceCidr", old.service_cidr, new.service_cidr),
        ] {
            let nodes = self.all_nodes();
            self.refused(path, &was.to_string(), &is.to_string(), FOR_GOOD, nodes);
        }
        let (was, is) = (zones(&old.zones), zones(&new.zones));
        let nodes = self.all_nodes();
        self.refused("network.zones", &was, &is, REPLACING, nodes);
    }

    fn machines(&mut self, new: &Config) {
        let old = self.old;
        let all = self.all_nodes();
        self.refused("image", &image(old), &image(new), REPLACING, all.clone());
        let profile = |config: &Config| config.iam_instance_profile.clone().unwrap_or_default();
        self.refused("iamInstanceProfile", &profile(old), &profile(new), REPLACING, all);
        self.masters(new);
        for group in &old.workers {
            match new.group(&group.name) {
                Some(now) => self.group(group, now),
                None => self.group_gone(group),
            }
        }
        for group in &new.workers {
            if old.group(&group.name).is_none() {
                let machines = format!("{} x {}", group.count, group.instance_type);
                self.additive(&format!("workers.{}", group.name), "", &machines);
            }
        }
    }

    fn masters(&mut self, new: &Config) {
        let (old, new) = (&self.old.masters, &new.masters);
        let nodes = self.nodes(|slot| slot.role == Role::Master);
        let mut refuse = |path, was: &str, is: &str| {
            self.refused(path, was, is, REPLACING, nodes.clone());
        };
        refuse("masters.count", &old.count.to_string(), &new.count.to_string());
        refuse("masters.type", &old.instance_type, &new.instance_type);
        refuse("masters.zones", &zones(&old.zones), &zones(&new.zones));
        refuse("masters.volume.sizeGiB", &old.volume.size_gib.to_string(), &new.volume.size_gib.to_string());
    }

    fn group(&mut self, old: &WorkerGroup, new: &WorkerGroup) {
        let path = |field: &str| format!("workers.{}.{field}", old.name);
        let nodes = self.nodes_of(&old.name, 0);
        if new.count >= old.count {
            self.additive(&path("count"), &old.count.to_string(), &new.count.to_string());
        } else {
            let lost = self.nodes_of(&old.name, new.count);
            let (was, is) = (old.count.to_string(), new.count.to_string());
            self.refused(&path("count"), &was, &is, REMOVING, lost);
        }
        for (field, was, is) in [
            ("type", old.instance_type.clone(), new.instance_type.clone()),
            ("zones", zones(&old.zones), zones(&new.zones)),
            ("volume.sizeGiB", old.volume.size_gib.to_string(), new.volume.size_gib.to_string()),
        ] {
            // A group without machines may still become anything.
            if nodes.is_empty() {
                self.additive(&path(field), &was, &is);
            } else {
                self.refused(&path(field), &was, &is, REGROUPING, nodes.clone());
            }
        }
        self.names(&path("labels"), &labels(old), &labels(new));
        self.names(&path("taints"), &taints(old), &taints(new));
    }

    fn group_gone(&mut self, group: &WorkerGroup) {
        let nodes = self.nodes_of(&group.name, 0);
        let path = format!("workers.{}", group.name);
        let machines = format!("{} x {}", group.count, group.instance_type);
        if nodes.is_empty() {
            self.additive(&path, &machines, "");
        } else {
            self.refused(&path, &machines, "", REMOVING, nodes);
        }
    }

    /// An edit for each entry that came or went.
    fn names(&mut self, path: &str, old: &[String], new: &[String]) {
        let (was, is): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
        for gone in was.difference(&is) {
            self.additive(path, gone, "");
        }
        for added in is.difference(&was) {
            self.additive(path, "", added);
        }
    }

    fn additive(&mut self, path: &str, old: &str, new: &str) {
        self.push(path, old, new, Verdict::Additive);
    }

    fn for_good(&mut self, path: &str, old: &str, new: &str) {
        let nodes = self.all_nodes();
        self.refused(path, old, new, FOR_GOOD, nodes);
    }

    fn refused(&mut self, path: &str, old: &str, new: &str, reason: &str, nodes: Vec<String>) {
        let reason = reason.to_owned();
        self.push(path, old, new, Verdict::Refused { reason, nodes });
    }

    fn push(&mut self, path: &str, old: &str, new: &str, verdict: Verdict) {
        if old != new {
            self.edits.push(Edit {
                path: path.to_owned(),
                old: old.to_owned(),
                new: new.to_owned(),
                verdict,
            });
        }
    }

    fn all_nodes(&self) -> Vec<String> {
        self.nodes(|_| true)
    }

    fn nodes_of(&self, group: &str, from: u32) -> Vec<String> {
        self.nodes(|slot| slot.group == group && slot.index >= from)
    }

    fn nodes(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<String> {
        let slots = self.old.slots().into_iter();
        slots.filter(|slot| wanted(slot)).map(|slot| slot.name).collect()
    }
}

/// At most a few by name.
fn listed(nodes: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = nodes.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if nodes.len() > SHOWN {
        text.push_str(&format!(" and {} more", nodes.len() - SHOWN));
    }
    text
}

fn sources(sources: &OrAuto<Vec<Ipv4Net>>) -> String {
    match sources {
        OrAuto::Auto => "auto".to_owned(),
        OrAuto::Given(list) => {
            let words: Vec<String> = list.iter().map(Ipv4Net::to_string).collect();
            format!("[{}]", words.join(", "))
        }
    }
}

fn zones(zones: &OrAuto<Vec<String>>) -> String {
    match zones {
        OrAuto::Auto => "auto".to_owned(),
        OrAuto::Given(list) => format!("[{}]", list.join(", ")),
    }
}

fn image(config: &Config) -> String {
    use super::ImageSource;
    let image = &config.image;
    let source = match &image.source {
        ImageSource::Id { id } => id.clone(),
        ImageSource::Newest { owner, name } => format!("{owner}/{name}"),
    };
    format!("{source} ({}, user {})", image.architecture.as_str(), image.user)
}

fn labels(group: &WorkerGroup) -> Vec<String> {
    let label = |(key, value): (&String, &String)| format!("{key}={value}");
    group.labels.iter().map(label).collect()
}

fn taints(group: &WorkerGroup) -> Vec<String> {
    let taint = |taint: &super::Taint| match taint.value.as_str() {
        "" => format!("{}:{}", taint.key, taint.effect.as_str()),
        value => format!("{}={value}:{}", taint.key, taint.effect.as_str()),
    };
    group.taints.iter().map(taint).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const OLD: &str = "\
name: a
region: us-east-1
access: {ssh: [192.0.2.0/24]}
workers:
  - {name: web, count: 3, labels: {tier: web}}
  - {name: idle, count: 0}
";

    fn config(text: &str) -> Config {
        parse(text, "f").unwrap_or_else(|e| panic!("{e}"))
    }

    /// Each edit's line, `ok` or `no` first.
    fn edits(new: &str) -> String {
        let line = |edit: &Edit| format!("{} {edit}", if edit.is_additive() { "ok" } else { "no" });
        diff(&config(OLD), &config(new)).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// `OLD` with each `from` replaced by its `to`.
    fn with(changes: &[(&str, &str)]) -> String {
        changes.iter().fold(OLD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    }

    #[test]
    fn nothing_changed_is_no_edit() {
        assert_eq!(diff(&config(OLD), &config(OLD)), []);
        let moved = with(&[
            ("  - {name: idle, count: 0}\n", ""),
            ("workers:\n", "workers:\n  - {name: idle, count: 0}\n"),
        ]);
        assert_eq!(edits(&moved), "");
    }

    #[test]
    fn what_costs_no_machine_runs() {
        let new = with(&[
            ("[192.0.2.0/24]}", "[192.0.2.0/24, 198.51.100.7/32], servicePorts: [443, 8080], via: public}"),
            (
                "count: 3, labels: {tier: web}",
                "count: 5, labels: {tier: front, x: y}, taints: [{key: k, effect: NoExecute}]",
            ),
            ("{name: idle, count: 0}", "{name: idle, count: 0, type: t3.large}"),
        ]) + "  - {name: db, count: 2}\nextraApiNames: [api.example.com]\n";
        insta::assert_snapshot!(edits(&new), @r"
        ok access.via: auto -> public
        ok access.ssh: [192.0.2.0/24] -> [192.0.2.0/24, 198.51.100.7/32]
        ok access.servicePorts: - 80
        ok access.servicePorts: + 8080
        ok workers.web.count: 3 -> 5
        ok workers.web.labels: - tier=web
        ok workers.web.labels: + tier=front
        ok workers.web.labels: + x=y
        ok workers.web.taints: + k:NoExecute
        ok workers.idle.type: t3.small -> t3.large
        ok workers.db: + 2 x t3.small
        ok extraApiNames: + api.example.com
        ");
    }

    #[test]
    fn what_costs_machines_is_refused_with_their_names() {
        let new = with(&[
            ("us-east-1", "us-east-2"),
            ("count: 3, ", "count: 1, type: t3.large, volume: {sizeGiB: 30}, zones: [us-east-2a], "),
            ("  - {name: idle, count: 0}\n", ""),
        ]) + "masters: {type: m7i.large, volume: {sizeGiB: 9}}\n\
              network: {cidr: 10.30.0.0/16, podCidr: 10.240.0.0/16, zones: [us-east-2a]}\n\
              image: {id: ami-0123456789abcdef0}\niamInstanceProfile: p\n";
        insta::assert_snapshot!(edits(&new), @r"
        no region: us-east-1 -> us-east-2: it is fixed for the cluster's lifetime; put it back, or make another cluster under another name (master-0, web-0, web-1, web-2)
        no network.cidr: 10.20.0.0/16 -> 10.30.0.0/16: it is fixed for the cluster's lifetime; put it back, or make another cluster under another name (master-0, web-0, web-1, web-2)
        no network.podCidr: 10.244.0.0/16 -> 10.240.0.0/16: it is fixed for the cluster's lifetime; put it back, or make another cluster under another name (master-0, web-0, web-1, web-2)
        no network.zones: auto -> [us-east-2a]: running machines are not changed in this version; put it back (master-0, web-0, web-1, web-2)
        no image: 136693071363/debian-12-amd64-* (x86_64, user admin) -> ami-0123456789abcdef0 (x86_64, user admin): running machines are not changed in this version; put it back (master-0, web-0, web-1, web-2)
        no iamInstanceProfile: + p: running machines are not changed in this version; put it back (master-0, web-0, web-1, web-2)
        no masters.type: t3.small -> m7i.large: running machines are not changed in this version; put it back (master-0)
        no masters.volume.sizeGiB: 20 -> 9: running machines are not changed in this version; put it back (master-0)
        no workers.web.count: 3 -> 1: machines are not removed in this version; put it back, or take the whole cluster down with `cluster down` (web-1, web-2)
        no workers.web.type: t3.small -> t3.large: running machines are not changed in this version; put it back, or write a group of its own (web-0, web-1, web-2)
        no workers.web.zones: auto -> [us-east-2a]: running machines are not changed in this version; put it back, or write a group of its own (web-0, web-1, web-2)
        no workers.web.volume.sizeGiB: 20 -> 30: running machines are not changed in this version; put it back, or write a group of its own (web-0, web-1, web-2)
        ok workers.idle: - 0 x t3.small
        ");
    }

    #[test]
    fn a_group_taken_out_is_refused_with_its_machines() {
        let new = with(&[("  - {name: web, count: 3, labels: {tier: web}}\n", "")]);
        insta::assert_snapshot!(edits(&new), @r"
        no workers.web: - 3 x t3.small: machines are not removed in this version; put it back, or take the whole cluster down with `cluster down` (web-0, web-1, web-2)
        ");
    }

    #[test]
    fn another_name_is_another_cluster() {
        insta::assert_snapshot!(edits(&with(&[("name: a\n", "name: b\n")])), @r"
        no name: a -> b: it is fixed for the cluster's lifetime; put it back, or make another cluster under another name (master-0, web-0, web-1, web-2)
        ");
    }

    #[test]
    fn many_machines_are_counted() {
        let (mut old, mut new) = (config(OLD), config(OLD));
        old.workers[0].count = 40;
        new.workers[0].count = 20;
        let line = diff(&old, &new)[0].to_string();
        assert!(line.ends_with("(web-20, web-21, web-22, web-23, web-24 and 15 more)"), "{line}");
    }
}
