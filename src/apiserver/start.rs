//! What a server makes before anybody asks: namespaces, the default policy, priority classes,
//! the `kubernetes` Service and who serves it.
//!
//! All of it goes through the chain, under the server's own identity, and is done again at
//! every start: what is there is brought to what it should be, what users added stays.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use access::User;
use access::bootstrap::{self, Change};
use access::token::{Issuer, KeyError, KeySet, SigningKey};
use access::user::MASTERS;
use futures::{StreamExt as _, stream};
use hyper::Method;
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use store::{Op, Range, Txn};

use crate::local::{Local, LocalError};
use crate::server::Server;

/// The server's own name.
const SELF: &str = "system:apiserver";
/// Objects that are looked after at once.
const WORKERS: usize = 16;
/// How long a server counts as live after it last said so: upstream's number.
const LIVE: Duration = Duration::from_secs(15);
/// How often it says so.
const SAY: Duration = Duration::from_secs(10);
/// Where servers say that they are live.
const LEASES: &str = "/registry/masterleases/";
const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";

/// Where this server is reached from inside the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Advertised {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
}

/// Who signs service accounts' tokens: `url` is what they say of it, the key is PEM.
pub fn issuer(url: &str, key_pem: &str) -> Result<Issuer, KeyError> {
    let key = SigningKey::from_pem(key_pem, &SystemRandom::new())?;
    Ok(Issuer::new(url, KeySet::new(key, Vec::new())))
}

/// The server's own client.
#[must_use]
pub fn own(server: &Arc<Server>) -> Local {
    Local::new(Arc::clone(server), User::new(SELF, &[MASTERS]), "kube-apiserver")
}

/// Makes what must be there.
pub async fn prepare(server: &Arc<Server>) -> Result<(), LocalError> {
    let client = own(server);
    for name in bootstrap::NAMESPACES {
        ensure(&client, "/api/v1/namespaces", bootstrap::namespace(name)).await?;
    }
    let wanted = bootstrap::rbac().into_iter().map(|(kind, object)| {
        let client = client.clone();
        async move { policy(&client, kind.plural(), &object).await }
    });
    let results: Vec<_> = stream::iter(wanted).buffer_unordered(WORKERS).collect().await;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    for class in bootstrap::priority_classes() {
        ensure(&client, "/apis/scheduling.k8s.io/v1/priorityclasses", class).await?;
    }
    service_range(server, &client).await?;
    Ok(())
}

/// Tells of the range that Services' addresses are of (upstream's default ServiceCIDR).
async fn service_range(server: &Server, client: &Local) -> Result<(), LocalError> {
    const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let (address, prefix) = server.service_network;
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [format!("{address}/{prefix}")]},
    });
    ensure(client, RANGES, range).await?;
    let stamp = server.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ready = json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": stamp,
    }]}});
    let path = format!("{RANGES}/kubernetes");
    let there = client.json(Method::GET, &path, &Value::Null).await?;
    if api::meta::list_at(&there, "status.conditions").is_empty() {
        client
            .typed(Method::PATCH, &format!("{path}/status"), "application/merge-patch+json", &ready)
            .await?;
    }
    Ok(())
}

/// Lets agents see what their network needs: Services, their endpoints, and the other nodes
/// (the proxy is a part of the agent here).
pub async fn let_agents_proxy(server: &Arc<Server>) -> Result<(), LocalError> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster:agents-proxy"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    });
    ensure(&own(server), "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await
}

/// Keeps the Node of this machine labelled as one of the control plane: it may not say so itself.
pub async fn keep_role(server: Arc<Server>, node: String) {
    let client = own(&server);
    let path = format!("/api/v1/nodes/{node}");
    let patch = json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
    loop {
        let found = client.json(Method::GET, &path, &Value::Null).await;
        let labelled = found
            .as_ref()
            .is_ok_and(|node| api::meta::label(node, "node-role.kubernetes.io/control-plane").is_some());
        if found.is_ok() && !labelled {
            let done = client.typed(Method::PATCH, &path, "application/merge-patch+json", &patch).await;
            if let Err(error) = done {
                tracing::warn!(%error, node, "the node could not be labelled as one of the control plane");
            }
        }
        let pause = if labelled { SAY } else { SAY / 10 };
        if server.shutdown.race(server.clock.sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Creates an object where it is missing.
async fn ensure(client: &Local, collection: &str, object: Value) -> Result<(), LocalError> {
    let path = format!("{collection}/{}", api::meta::name(&object));
    match client.json(Method::GET, &path, &Value::Null).await {
        Err(error) if error.code == 404 => existing(client.json(Method::POST, collection, &object).await),
        found => found.map(drop),
    }
}

/// Another server may have been faster.
fn existing(created: Result<Value, LocalError>) -> Result<(), LocalError> {
    match created {
        Err(error) if error.reason == "AlreadyExists" => Ok(()),
        created => created.map(drop),
    }
}

async fn policy(client: &Local, plural: &str, wanted: &Value) -> Result<(), LocalError> {
    let namespace = api::meta::namespace(wanted);
    let collection = if namespace.is_empty() {
        format!("/apis/rbac.authorization.k8s.io/v1/{plural}")
    } else {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}")
    };
    let path = format!("{collection}/{}", path_segment(api::meta::name(wanted)));
    let found = match client.json(Method::GET, &path, &Value::Null).await {
        Ok(found) => Some(found),
        Err(error) if error.code == 404 => None,
        Err(error) => return Err(error),
    };
    match bootstrap::reconcile(found.as_ref(), wanted) {
        Change::Nothing => Ok(()),
        Change::Create(object) => existing(client.json(Method::POST, &collection, &object).await),
        Change::Update(object) => client.json(Method::PUT, &path, &object).await.map(drop),
        Change::Recreate(object) => {
            client.json(Method::DELETE, &path, &Value::Null).await?;
            existing(client.json(Method::POST, &collection, &object).await)
        }
    }
}

/// Names of roles have colons, which a URI takes as they are.
fn path_segment(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F").replace(' ', "%20")
}

/// Says that this server is live, and keeps the `kubernetes` Service pointing at all that are,
/// until stopped; then takes this one out.
pub async fn keep_service(server: Arc<Server>, advertised: Advertised) {
    let client = own(&server);
    loop {
        if let Err(error) = say_live(&server, &client, advertised).await {
            tracing::warn!(%error, "the kubernetes Service is not up to date");
        }
        if server.shutdown.race(server.clock.sleep(SAY)).await.is_none() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Api(#[from] LocalError),
}

async fn say_live(server: &Arc<Server>, client: &Local, advertised: Advertised) -> Result<(), KeepError> {
    let lease = server.store.grant_lease(LIVE).await?;
    let key = format!("{LEASES}{}", advertised.address);
    server.store.txn(Txn::new().then(Op::put_leased(key, advertised.port.to_string(), lease))).await?;
    let found = server.store.range(Range::prefix(LEASES)).await?;
    let mut live: Vec<String> = found
        .items
        .iter()
        .filter_map(|item| std::str::from_utf8(&item.key).ok()?.strip_prefix(LEASES).map(str::to_owned))
        .collect();
    live.sort();
    service(server, client, advertised.port).await?;
    endpoints(client, advertised.port, &live).await?;
    Ok(())
}

async fn service(server: &Server, client: &Local, port: u16) -> Result<(), LocalError> {
    let (network, _) = server.service_network;
    let first = Ipv4Addr::from(u32::from(network) + 1).to_string();
    let wanted = json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"provider": "kubernetes", "component": "apiserver"},
        },
        "spec": {
            "clusterIP": first,
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    match client.json(Method::GET, SERVICE, &Value::Null).await {
        Err(error) if error.code == 404 => {
            existing(client.json(Method::POST, "/api/v1/namespaces/default/services", &wanted).await)
        }
        found => found.map(drop),
    }
}

async fn endpoints(client: &Local, port: u16, live: &[String]) -> Result<(), LocalError> {
    let addresses: Vec<_> = live.iter().map(|ip| json!({"ip": ip})).collect();
    let endpoints = json!({
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    put(client, "/api/v1/namespaces/default/endpoints", &endpoints, "subsets").await?;
    let list: Vec<_> =
        live.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    let slice = json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": list,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    put(client, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice, "endpoints").await
}

/// Creates an object, or replaces it where `field` differs.
async fn put(client: &Local, collection: &str, wanted: &Value, field: &str) -> Result<(), LocalError> {
    let path = format!("{collection}/kubernetes");
    match client.json(Method::GET, &path, &Value::Null).await {
        Err(error) if error.code == 404 => existing(client.json(Method::POST, collection, wanted).await),
        Err(error) => Err(error),
        Ok(found) if api::meta::same(found.get(field), wanted.get(field)) => Ok(()),
        Ok(found) => {
            let mut changed = wanted.clone();
            api::meta::put(&mut changed, "metadata.resourceVersion", api::meta::resource_version(&found));
            match client.json(Method::PUT, &path, &changed).await {
                // Another server may have been faster.
                Err(error) if error.reason == "Conflict" => Ok(()),
                put => put.map(drop),
            }
        }
    }
}
