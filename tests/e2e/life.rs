//! A cluster's life: raised, looked at, edited, hurt and mended, taken down.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::ec2::{self, Bystanders};
use crate::fleet::{Fleet, can_run, files};

const ONE_AND_ONE: &str = "workers:\n  - name: general\n    count: 1\n";
const ONE_AND_TWO: &str = "workers:\n  - name: general\n    count: 2\n";

#[test]
fn a_cluster_is_raised_kept_and_removed() {
    if !can_run("a_cluster_is_raised_kept_and_removed") {
        return;
    }
    let bystanders = Bystanders::new();
    let fleet = Fleet::new("life", 31, ONE_AND_ONE);
    raised(&fleet);
    etcd_serves_over_mtls_only(&fleet);
    containerd_is_ready_everywhere(&fleet);
    the_single_use_host_key_is_refused_for_good(&fleet);
    secrets_stay_secret(&fleet);
    what_is_broken_is_seen_and_mended(&fleet);
    a_worker_more_is_additive_and_one_less_is_refused(&fleet);
    a_lost_worker_is_rebuilt(&fleet);
    a_reboot_is_survived(&fleet);
    a_lost_master_is_refused(&fleet);
    gone(&fleet);
    bystanders.are_untouched();
}

fn raised(fleet: &Fleet) {
    assert_eq!(fleet.cluster(&["plan"]).status, 2, "a fresh account has changes");
    fleet.cluster(&["up"]).exits(1).says("--yes");
    assert!(ec2::live_slots(fleet.name).is_empty(), "nothing is bought without a yes");
    fleet.cluster(&["up", "--yes"]).exits(0).says("is up");
    fleet.cluster(&["status"]).exits(0);
    assert_eq!(fleet.plan(), Vec::<String>::new(), "planning after up");
    fleet.cluster(&["up", "--yes"]).exits(0).says("nothing to do");
    assert_eq!(ec2::live_slots(fleet.name), ["general-0", "master-0"]);
}

fn etcd_serves_over_mtls_only(fleet: &Fleet) {
    fleet.on("master-0", "sudo cluster node check etcd").exits(0).says("etcd serves");
    let stranger = "curl -sk --max-time 5 https://127.0.0.1:2379/health";
    assert_ne!(fleet.on("master-0", stranger).status, 0, "etcd answers without a client certificate");
    let open = "curl -s --max-time 5 http://127.0.0.1:2379/health";
    assert_ne!(fleet.on("master-0", open).status, 0, "etcd answers without TLS");
    fleet.on("master-0", "test \"$(readlink /etc/systemd/system/etcd.service)\" = /dev/null").exits(0);
}

fn containerd_is_ready_everywhere(fleet: &Fleet) {
    for node in ["master-0", "general-0"] {
        fleet.on(node, "sudo cluster node check containerd").exits(0).says("is ready");
        fleet.on(node, "systemctl is-system-running").exits(0);
    }
}

/// What user-data carried is worth nothing now: no file of it is left in sshd's
/// hands, and the server shows one host key, the recorded one.
fn the_single_use_host_key_is_refused_for_good(fleet: &Fleet) {
    let shown =
        fleet.on("general-0", "ssh-keyscan -t ed25519,rsa,ecdsa 127.0.0.1 2>/dev/null | cut -d' ' -f2,3");
    let shown = shown.exits(0).out;
    assert_eq!(shown.lines().count(), 1, "one host key is shown: {shown}");
    let used = fleet.on("general-0", "sudo cat /var/lib/cloud/instance/user-data.txt").exits(0).out;
    assert!(used.contains("ed25519_public"), "user-data carried a host key");
    assert!(
        !used.contains(shown.split_whitespace().nth(1).expect("a key")),
        "the single-use key is still shown"
    );
    let record = files(&fleet.state()).into_iter().find(|path| path.ends_with("nodes_general-0.json"));
    let record = std::fs::read_to_string(record.expect("the record of general-0")).expect("it is read");
    assert!(record.contains(shown.trim()), "the recorded key is the one shown");
    assert!(record.contains("\"singleUse\": null"), "{record}");
}

fn secrets_stay_secret(fleet: &Fleet) {
    for path in files(&fleet.state()) {
        let mode = path.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has mode {mode:o}", path.display());
    }
    let readable = "sudo find /etc/cluster /var/lib/cluster -name '*.key' -perm /o+r";
    assert_eq!(fleet.on("master-0", readable).exits(0).out, "", "keys that everyone can read");
    let authority =
        "sudo grep -rl 'CERTIFICATE' /etc/cluster | xargs -n1 dirname | sort -u; sudo ls /etc/cluster/pki";
    assert!(
        !fleet.on("general-0", authority).exits(0).out.contains("ca.key"),
        "an authority's key is on a worker"
    );
}

fn what_is_broken_is_seen_and_mended(fleet: &Fleet) {
    fleet.on("master-0", "sudo systemctl disable -q --now cluster-etcd").exits(0);
    fleet.on("general-0", "sudo sh -c 'echo broken > /etc/containerd/config.toml'").exits(0);
    fleet.cluster(&["status"]).exits(1).says("etcd");
    let plan = fleet.plan().join("\n");
    assert!(plan.contains("master-0: etcd") && plan.contains("general-0: containerd"), "{plan}");
    assert!(!plan.contains("launch"), "nothing is bought to mend a node: {plan}");
    fleet.cluster(&["up", "--yes"]).exits(0);
    fleet.cluster(&["status"]).exits(0);
}

fn a_worker_more_is_additive_and_one_less_is_refused(fleet: &Fleet) {
    fleet.write(ONE_AND_TWO);
    fleet.cluster(&["up", "--yes"]).exits(0);
    assert_eq!(ec2::live_slots(fleet.name), ["general-0", "general-1", "master-0"]);
    fleet.write(ONE_AND_ONE);
    fleet.cluster(&["plan"]).exits(1).says("general-1");
    fleet.write(&ONE_AND_TWO.replace("count: 2", "count: 2\n    type: m5.large"));
    fleet.cluster(&["up", "--yes"]).exits(1).says("type").says("general-0");
    fleet.write(ONE_AND_TWO);
    assert_eq!(fleet.plan(), Vec::<String>::new());
}

fn a_lost_worker_is_rebuilt(fleet: &Fleet) {
    let lost = fleet.node("general-1", "instance");
    ec2::call(&format!("Action=TerminateInstances&InstanceId.1={lost}"));
    let plan = fleet.plan().join("\n");
    assert!(plan.contains("launch general-1") && plan.contains(&lost), "{plan}");
    fleet.cluster(&["up", "--yes"]).exits(0);
    assert_ne!(fleet.node("general-1", "instance"), lost);
    fleet.cluster(&["status"]).exits(0);
}

fn a_reboot_is_survived(fleet: &Fleet) {
    let boot = "cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic";
    let before = fleet.on("master-0", boot).exits(0).out;
    // The connection breaks with the machine: any exit status will do.
    fleet.on("master-0", "sudo systemctl reboot");
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let status = fleet.cluster(&["status"]);
        if status.status == 0 && fleet.on("master-0", boot).out != before {
            return;
        }
        assert!(Instant::now() < deadline, "master-0 did not come back:\n{}", status.out);
    }
}

fn a_lost_master_is_refused(fleet: &Fleet) {
    let master = fleet.node("master-0", "instance");
    ec2::call(&format!("Action=TerminateInstances&InstanceId.1={master}"));
    fleet.cluster(&["up", "--yes"]).exits(1).says("the cluster's data").says("cluster down");
}

fn gone(fleet: &Fleet) {
    fleet.cluster(&["down"]).exits(1).says("--yes");
    fleet.cluster(&["down", "--yes"]).exits(0).says("nothing of life is left");
    for (kind, count) in ec2::tagged(fleet.name) {
        assert_eq!(count, 0, "{kind} still shows something");
    }
    assert!(files(&fleet.state()).is_empty(), "the state folder is gone with the cluster");
    fleet.cluster(&["down", "--yes"]).exits(1).says("found nothing");
}
