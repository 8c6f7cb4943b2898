//! Pods on machines that `up` raised: deployed, reached, looked into, hurt and mended.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fleet::{Fleet, Said, can_run, said};
use crate::image;

const ONE_AND_TWO: &str = "workers:\n  - name: general\n    count: 2\n    labels: {tier: web}\n";

/// What is deployed: a web server of four replicas that serves a ConfigMap, and its Service.
const WEB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "served from a ConfigMap\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {tier: web}
      containers:
      - name: httpd
        image: test.example/box:1
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -p, "8080", -h, /page]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /index.html, port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /page}]
      volumes: [{name: page, configMap: {name: page}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}}
    spec:
      containers: [{name: box, image: test.example/box:1, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  completions: 3
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{name: box, image: test.example/box:1, imagePullPolicy: IfNotPresent, command: ["true"]}]
"#;

/// A pod with a field that agents do not honour.
const STRANGE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: strange}
spec:
  restartPolicy: Never
  hostUsers: false
  containers: [{name: box, image: test.example/box:1, command: ["true"]}]
"#;

/// A cluster with its kubectl.
pub(crate) struct Kube<'a> {
    fleet: &'a Fleet,
    kubectl: PathBuf,
    config: PathBuf,
}

impl<'a> Kube<'a> {
    pub(crate) fn new(fleet: &'a Fleet, config: PathBuf) -> Self {
        Self { fleet, kubectl: kubectl(), config }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", &self.config).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let began = Instant::now();
        let output = self.command(arguments).output().expect("kubectl runs");
        println!("  {:>5.1} s  kubectl {}", began.elapsed().as_secs_f64(), arguments.join(" "));
        said(&output)
    }

    fn fed(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("it listens");
        let input = input.to_vec();
        let feeding = std::thread::spawn(move || stdin.write_all(&input));
        let said = said(&child.wait_with_output().expect("it ends"));
        feeding.join().expect("it is fed").expect("it took all");
        said
    }

    fn ready(&self) {
        for what in ["deployment/web", "daemonset/each"] {
            self.run(&["rollout", "status", what, "--timeout=120s"]).exits(0);
        }
    }
}

fn kubectl() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/clients");
    let output = Command::new(script).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(folder.trim().lines().last().expect("a path")).join("kubectl")
}

/// The page under an address, if one answers.
fn page(address: &str) -> Result<String, std::io::Error> {
    let mut stream =
        TcpStream::connect_timeout(&address.parse().expect("an address"), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn pods_run_are_reached_and_survive_what_is_done_to_their_machines() {
    if !can_run("pods_run_are_reached_and_survive") {
        return;
    }
    if !image::can_be_made() {
        return;
    }
    let fleet = Fleet::new("pods", 36, ONE_AND_TWO);
    fleet.cluster(&["up", "--yes"]).exits(0).says("is up");
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("box.tar");
    image::write(&archive);
    fleet.cluster(&["image", "load", &archive.display().to_string()]).exits(0).says(image::NAME);
    let config = folder.path().join("kubeconfig");
    fleet
        .cluster(&["kubeconfig", "--output", &config.display().to_string()])
        .exits(0)
        .says("next: kubectl get nodes");
    let kube = Kube::new(&fleet, config);
    let nodes = kube.run(&["get", "nodes", "--no-headers"]).exits(0).out;
    assert_eq!(nodes.matches(" Ready ").count(), 3, "{nodes}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !kube.run(&["get", "nodes", "--no-headers"]).exits(0).out.contains("control-plane") {
        assert!(Instant::now() < deadline, "the master is not labelled as one of the control plane");
    }
    kube.fed(&["apply", "-f", "-"], WEB.as_bytes()).exits(0);
    kube.ready();
    kube.run(&["wait", "job/once", "--for=condition=Complete", "--timeout=60s"]).exits(0);
    reached_from_everywhere(&kube);
    looked_into(&kube);
    refused_by_name(&kube);
    hurt(&kube);
    fleet.cluster(&["down", "--yes"]).exits(0).says("nothing of pods is left");
}

fn reached_from_everywhere(kube: &Kube<'_>) {
    for node in ["general-0", "general-1"] {
        let address = format!("{}:30080", kube.fleet.node(node, "privateAddress"));
        let told = page(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert!(told.contains("served from a ConfigMap"), "{told}");
    }
    let spread =
        kube.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"]).exits(0).out;
    for node in ["general-0", "general-1"] {
        assert_eq!(spread.matches(node).count(), 2, "{spread}");
    }
    let address = kube.run(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]).exits(0).out;
    for turn in 0..6 {
        let command = format!("timeout 10 wget -q -O - http://{address}/index.html");
        kube.run(&["exec", "daemonset/each", "--", "sh", "-c", &command])
            .exits(0)
            .says("served from a ConfigMap");
        println!("        turn {turn}");
    }
    let named = "nslookup web.default.svc.cluster.local";
    kube.run(&["exec", "daemonset/each", "--", "sh", "-c", named]).exits(0).says(&address);
    let metadata = "timeout 3 wget -q -O - http://169.254.169.254/latest/meta-data/";
    let said = kube.run(&["exec", "daemonset/each", "--", "sh", "-c", metadata]);
    assert_ne!(said.status, 0, "a pod reaches the machine's metadata: {}", said.out);
}

fn looked_into(kube: &Kube<'_>) {
    kube.fed(&["exec", "-i", "daemonset/each", "--", "cat"], b"through and back")
        .exits(0)
        .says("through and back");
    assert_eq!(kube.run(&["exec", "daemonset/each", "--", "sh", "-c", "exit 7"]).status, 7);
    let many = vec![b'x'; 20 * 1024 * 1024];
    let sum = kube.fed(&["exec", "-i", "daemonset/each", "--", "sha256sum"], &many).exits(0).out;
    let wanted: String = {
        use sha2::Digest as _;
        sha2::Sha256::digest(&many).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert!(sum.starts_with(&wanted), "20 MiB arrived changed: {sum}");
    kube.run(&["logs", "job/once"]).exits(0);
    let talker = [
        "run",
        "talker",
        "--image",
        image::NAME,
        "--image-pull-policy=IfNotPresent",
        "--restart=Never",
        "--",
    ];
    kube.run(&[&talker[..], &["sh", "-c", "echo one; echo two"]].concat()).exits(0);
    kube.run(&["wait", "pod/talker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"]).exits(0);
    assert_eq!(kube.run(&["logs", "talker"]).exits(0).out, "one\ntwo\n");
    assert_eq!(kube.run(&["logs", "talker", "--tail=1"]).exits(0).out, "two\n");
    kube.run(&["delete", "pod", "talker", "--timeout=60s"]).exits(0);
}

/// What is not honoured is never ignored.
fn refused_by_name(kube: &Kube<'_>) {
    kube.fed(&["apply", "-f", "-"], STRANGE.as_bytes()).exits(0);
    kube.run(&["wait", "pod/strange", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s"]).exits(0);
    let why = kube.run(&["get", "pod", "strange", "-o", "jsonpath={.status.message}"]).exits(0).out;
    assert_eq!(why, "spec.hostUsers is not supported by this node");
    kube.run(&["delete", "pod", "strange", "--timeout=60s"]).exits(0);
}

/// Every part killed in turn: what was acknowledged is there, and the next thing asked for is done.
fn hurt(kube: &Kube<'_>) {
    let uids = || {
        kube.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.uid}"]).exits(0).out
    };
    let before = uids();
    for (node, unit) in [
        ("general-0", "cluster-agent"),
        ("general-1", "containerd"),
        ("master-0", "cluster-etcd"),
        ("master-0", "cluster-server"),
    ] {
        kube.fleet.on(node, &format!("sudo systemctl kill --signal=KILL {unit}")).exits(0);
        kube.fleet.on(node, &format!("until systemctl is-active --quiet {unit}; do :; done")).exits(0);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while kube.run(&["get", "--raw", "/readyz"]).status != 0 {
        assert!(Instant::now() < deadline, "the API does not come back");
    }
    kube.run(&["wait", "node", "--all", "--for=condition=Ready", "--timeout=120s"]).exits(0);
    kube.ready();
    assert_eq!(uids(), before, "pods outlive what runs them");
    kube.run(&["scale", "deployment/web", "--replicas=6"]).exits(0);
    kube.ready();
    let one = kube.run(&["get", "pods", "-l", "app=web", "-o", "name"]).exits(0).out;
    let one = one.lines().next().expect("a pod").to_owned();
    kube.run(&["delete", &one, "--timeout=60s"]).exits(0);
    kube.ready();
    kube.run(&["rollout", "restart", "deployment/web"]).exits(0);
    kube.ready();
    reached_from_everywhere_by_six(kube);
}

fn reached_from_everywhere_by_six(kube: &Kube<'_>) {
    let ready =
        kube.run(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"]).exits(0).out;
    assert_eq!(ready, "6");
    let address = format!("{}:30080", kube.fleet.node("general-0", "privateAddress"));
    assert!(page(&address).is_ok_and(|told| told.contains("served from a ConfigMap")));
}
