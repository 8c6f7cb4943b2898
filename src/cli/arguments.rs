//! The command line, as clap reads it. The help texts are the reference.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::Ipv4Net;

use super::app::new::Source;

/// Raises a Kubernetes cluster on EC2 machines, and keeps it.
///
/// Describe the cluster in cluster.yaml (`cluster init` writes one), look at
/// what would happen (`cluster plan`), make it so (`cluster up`), and remove it
/// again (`cluster down`). Every command that changes something says what, and asks.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented cluster.yaml
    Init(Init),
    /// Print the JSON Schema of cluster.yaml
    Schema,
    /// Show the exact actions that `up` would run; exit status 2 if there are any
    Plan(Plan),
    /// Raise the cluster, or bring it to what cluster.yaml says
    Up(Up),
    /// Show the machines and what is wrong with them
    Status(Status),
    /// Open a shell on a node, or run a command there
    Ssh(Ssh),
    /// Write the way in for kubectl and every other client
    Kubeconfig(Kubeconfig),
    /// Bring images onto the nodes without a registry
    #[command(subcommand)]
    Image(Image),
    /// Write manifests for an application of your own
    #[command(subcommand)]
    New(New),
    /// Bring manifests onto the cluster, wait until they serve, and say where
    Deploy(Deploy),
    /// Show what runs on the cluster
    Get(Get),
    /// Show what the pods of an application print
    Logs(Logs),
    /// Bring a deployment back to the version before
    Rollback(Rollback),
    /// Show certificates and when they expire
    Pki(Pki),
    /// Remove everything that belongs to the cluster
    Down(Down),
    /// Serve the Kubernetes API on this machine, from a folder
    Server(Server),
    /// Run the pods of this machine, their network and DNS (as `cluster up` has nodes do)
    #[command(hide = true)]
    Agent(Agent),
    /// Save everything that a server keeps, or make a store of what was saved
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// What runs on a node (used by the nodes themselves)
    #[command(subcommand, hide = true)]
    Node(Node),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page a command into a folder
    Man {
        /// Folder to write into
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The cluster's name [default: the folder's]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) file: File,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct File {
    /// The cluster's description
    #[arg(short, long, value_name = "PATH", default_value = "cluster.yaml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs (`up` and `down`: a line per event)
    Json,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Text for people or JSON for programs
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) binary: Binary,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Binary {
    /// The static binary that goes onto the nodes [default: this one, or the one beside it]
    #[arg(long, value_name = "PATH")]
    pub(crate) node_binary: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) binary: Binary,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// End the process after this many journal writes: for tests of resuming
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) crash_after: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Ssh {
    #[command(flatten)]
    pub(crate) file: File,
    /// The node, such as master-0
    pub(crate) node: String,
    /// The command to run there [default: a login shell]
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Load images from archives (docker save, OCI) onto every node
    Load(ImageLoad),
}

#[derive(Debug, Args)]
pub(crate) struct ImageLoad {
    #[command(flatten)]
    pub(crate) file: File,
    /// Archives, packed or not
    #[arg(required = true, value_name = "ARCHIVE")]
    pub(crate) archives: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// A frontend, a backend, or both: a Deployment and a Service each
    App(NewApp),
}

#[derive(Debug, Args)]
pub(crate) struct NewApp {
    /// The application's name [default: the folder's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The frontend's folder and the port that it listens on [default port: of its Containerfile's EXPOSE, or 8080]
    #[arg(long, value_name = "DIR[:PORT]")]
    pub(crate) frontend: Option<Source>,
    /// The backend's
    #[arg(long, value_name = "DIR[:PORT]")]
    pub(crate) backend: Option<Source>,
    /// A file of variables, KEY=value a line, that become a Secret
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "deploy")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) file: File,
    /// A folder of manifests (.yaml, .yml, .json), or one file
    #[arg(value_name = "DIR")]
    pub(crate) path: PathBuf,
    /// The namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// How long to wait for all of it to serve
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) file: File,
    /// A kind, such as pods or nodes, or KIND/NAME [default: what an application is made of]
    pub(crate) what: Option<String>,
    /// One object of the kind
    pub(crate) name: Option<String>,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Objects of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) file: File,
    /// A pod, or a workload: web, deployment/web
    pub(crate) name: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Go on as more is printed
    #[arg(long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Of the run before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) file: File,
    /// The deployment
    pub(crate) name: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// The revision to go back to [default: the one before]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to_revision: Option<u64>,
    /// How long to wait for it to serve
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Kubeconfig {
    #[command(flatten)]
    pub(crate) file: File,
    /// The kubeconfig to write to [default: the first of $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    pub(crate) output: Option<PathBuf>,
    /// Make it the current context
    #[arg(long)]
    pub(crate) switch: bool,
    /// Print it instead
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pki {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The cluster's name, where there is no cluster.yaml
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Its region, where there is no cluster.yaml
    #[arg(long, value_name = "REGION", requires = "name")]
    pub(crate) region: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// End the process after this many journal writes: for tests of resuming
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) crash_after: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where certificates, keys and (without --etcd) objects are kept; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,
    /// Take the authority, certificates and keys from here instead of making them (as `cluster up` does on masters)
    #[arg(long, value_name = "FOLDER")]
    pub(crate) certificates: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) etcd: Etcd,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:6443")]
    pub(crate) listen: SocketAddr,
    /// The address that other machines and pods reach this one under [default: the one it sends from]
    #[arg(long, value_name = "IP")]
    pub(crate) advertise: Option<Ipv4Addr>,
    /// Addresses that Services are given
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16")]
    pub(crate) service_network: Ipv4Net,
    /// Addresses that pods are given: a /24 of it for each node
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16")]
    pub(crate) pod_network: Ipv4Net,
    /// Ports on which workers may answer for Services of type LoadBalancer
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_value = "80,443")]
    pub(crate) service_ports: Vec<u16>,
    /// The Node of this machine, which is then labelled as one of the control plane
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Ports on nodes that Services are given
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767")]
    pub(crate) node_ports: Ports,
    /// What runs here
    #[arg(long, value_enum, value_delimiter = ',', default_value = "api,controllers")]
    pub(crate) parts: Vec<ServerPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerPart {
    /// The API; without it there is no server
    Api,
    /// The controllers without which clients fail
    Controllers,
}

/// What an agent is started with.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The file that tells it of its machine and its cluster
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// How etcd is reached, where it keeps the objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Etcd {
    /// etcd at this URL holds the objects, not the folder; once for each member
    #[arg(long = "etcd", value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// The authority of etcd's certificates (PEM)
    #[arg(long = "etcd-ca", value_name = "FILE", requires_all = ["urls", "certificate", "key"])]
    pub(crate) authority: Option<PathBuf>,
    /// The certificate to show to etcd (PEM)
    #[arg(long = "etcd-cert", value_name = "FILE", requires = "authority")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long = "etcd-key", value_name = "FILE", requires = "authority")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Save all objects, from a running or a stopped server's folder, or from etcd
    Save {
        /// The file to write; must not be there
        file: PathBuf,
        /// The server's folder
        #[arg(long, value_name = "FOLDER", required_unless_present = "urls", conflicts_with = "urls")]
        data_dir: Option<PathBuf>,
        #[command(flatten)]
        etcd: Etcd,
    },
    /// Make a server's folder, or an etcd member's, of a saved snapshot; neither may hold anything
    Restore(Restore),
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The snapshot
    pub(crate) file: PathBuf,
    /// The server's folder
    #[arg(
        long,
        value_name = "FOLDER",
        required_unless_present = "etcd_data_dir",
        conflicts_with = "etcd_data_dir"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// The etcd member's folder, for a snapshot of etcd
    #[arg(long, value_name = "FOLDER")]
    pub(crate) etcd_data_dir: Option<PathBuf>,
    /// What makes it: etcdutl, or etcdctl of etcd 3.4
    #[arg(long, value_name = "PROGRAM", default_value = "etcdutl")]
    pub(crate) etcd_tool: PathBuf,
    /// The member's name
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) etcd_name: String,
    /// The member's own peer URL
    #[arg(long, value_name = "URL", default_value = "http://localhost:2380")]
    pub(crate) etcd_peer_url: String,
    /// Raise the revision by so much, so that clients that saw later ones list again
    #[arg(long, value_name = "REVISIONS", default_value_t = 0)]
    pub(crate) bump: u64,
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match ends {
            Some((first, last)) if first > 0 && first <= last => Ok(Self { first, last }),
            _ => Err("give two ports with a dash between them, the lower one first: 30000-32767".to_owned()),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Check etcd (on a master) and containerd
    Check {
        /// Only this part
        #[arg(value_enum)]
        part: Option<Part>,
        /// Keep trying for this many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
        #[command(flatten)]
        output: Output,
    },
    /// Hand the cluster binary on to other nodes
    Artifacts {
        /// Address and port to listen on
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// etcd over mTLS
    Etcd,
    /// containerd over its socket
    Containerd,
    /// the API server of this machine
    Server,
    /// this machine's agent, by what the API says of its Node
    Agent,
}
