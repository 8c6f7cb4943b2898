//! Joining the parts of a server, and ending them in order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use apiserver::http::serve;
use apiserver::http::tls::{self, Tls};
use apiserver::start::{self, Advertised};
use apiserver::{Options, Server, manager};
use base::{RandomIds, Shutdown, SystemClock};
use store::Compactor;
use store::compactor::COMPACTION_INTERVAL;
use tokio::net::TcpListener;

use super::identity::Identity;
use super::snapshots;
use super::storage::Storage;
use crate::cli::arguments::{self, ServerPart};
use crate::cli::{interrupt, notify, output};

/// Who signs tokens, as they say it.
const ISSUER: &str = "https://kubernetes.default.svc";

pub(super) async fn run(arguments: &arguments::Server) -> anyhow::Result<ExitCode> {
    if !arguments.parts.contains(&ServerPart::Api) {
        bail!("--parts has no api: give it too, the other parts work on it");
    }
    let clock = SystemClock;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", arguments.listen))?;
    let bound = listener.local_addr()?;
    let advertised =
        Advertised { address: arguments.advertise.unwrap_or_else(own_address), port: bound.port() };
    let first = Ipv4Addr::from(u32::from(arguments.service_network.network()) + 1);
    let addresses =
        [Ipv4Addr::LOCALHOST, first, advertised.address].map(IpAddr::V4).into_iter().chain(specific(bound));
    let addresses: Vec<_> = addresses.collect();
    let identity = match &arguments.certificates {
        Some(folder) => Identity::given(folder)?,
        None => Identity::open(&arguments.data_dir, &addresses, bound.port(), &clock)?,
    };

    let storage = Storage::open(Some(&arguments.data_dir), &arguments.etcd).await?;
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let snapshots = match &storage {
        Storage::Embedded(store) => Some(snapshots::Door::open(&arguments.data_dir, Arc::clone(store))?),
        Storage::Etcd(_) => None,
    };
    let (certificate, key) = &identity.kubelet_client;
    let to_agents = client::tls::Credentials {
        authority_pem: identity.authority_pem.clone(),
        certificate: Some((certificate.clone(), key.expose().to_owned())),
        token: None,
    };
    let options = Options {
        store: storage.store(),
        registry: api::kinds::registry(),
        issuer: start::issuer(ISSUER, identity.tokens_pem.expose())
            .context("the key of service accounts' tokens")?,
        authority_pem: identity.authority_pem.clone(),
        address: format!("{}:{}", advertised.address, advertised.port),
        service_network: (arguments.service_network.network(), arguments.service_network.prefix_len()),
        pod_network: (arguments.pod_network.network(), arguments.pod_network.prefix_len()),
        service_ports: arguments.service_ports.clone(),
        node_ports: (arguments.node_ports.first, arguments.node_ports.last),
        agents: Some(Arc::new(to_agents.config(&["http/1.1"]).context("the certificate for agents")?)),
        clock: Arc::new(clock),
        ids: Arc::new(RandomIds),
        shutdown: shutdown.clone(),
    };
    let (server, feed) = Server::open(options).await?;
    let tls = Tls::new(&tls::Identity {
        certificate_pem: identity.certificate_pem.clone(),
        key_pem: identity.key_pem.expose().to_owned(),
        client_authority_pem: identity.authority_pem.clone(),
    })?;
    let cache = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.run(feed).await }
    });
    let compactor = Compactor::new(storage.store());
    let compaction = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { compactor.run(&SystemClock, COMPACTION_INTERVAL, shutdown).await }
    });
    let saving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            if let Some(door) = snapshots {
                door.serve(shutdown).await;
            }
        }
    });
    let serving = tokio::spawn(serve::serve(listener, Some(tls), Arc::clone(&server), shutdown.clone()));
    start::prepare(&server).await.context("make what every cluster has")?;
    if arguments.node_name.is_some() {
        start::let_agents_proxy(&server).await.context("let agents see Services")?;
    }
    let role =
        arguments.node_name.clone().map(|node| tokio::spawn(start::keep_role(Arc::clone(&server), node)));
    let service = tokio::spawn(start::keep_service(Arc::clone(&server), advertised));
    let with_controllers = arguments.parts.contains(&ServerPart::Controllers);
    let controllers = with_controllers.then(|| tokio::spawn(manager::run(Arc::clone(&server))));
    let next = identity
        .kubeconfig
        .as_ref()
        .map(|path| format!("next: export KUBECONFIG={}; kubectl get namespaces\n", path.display()));
    output::print(&format!(
        "the Kubernetes API is served at https://127.0.0.1:{}\n{}",
        bound.port(),
        next.unwrap_or_default()
    ))?;
    notify::ready().context("tell systemd that the server is ready")?;
    shutdown.triggered().await;
    // Requests first, then what feeds them.
    for part in controllers.into_iter().chain(role).chain([serving, service, saving, compaction, cache]) {
        part.await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The address that this machine would send from. Nothing is sent.
fn own_address() -> Ipv4Addr {
    let ask = || -> std::io::Result<SocketAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // An address for documentation, which is routed like any other.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    match ask().map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) if !address.is_unspecified() => address,
        _ => Ipv4Addr::LOCALHOST,
    }
}

fn specific(bound: SocketAddr) -> Option<IpAddr> {
    Some(bound.ip()).filter(|ip| !ip.is_unspecified())
}
