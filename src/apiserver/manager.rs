//! The controller manager in this process: its way to the API is the whole chain, each
//! controller under the identity that the default policy knows it by.

use std::sync::Arc;

use access::User;
use access::user::{service_account_groups, service_account_name};
use async_trait::async_trait;
use bytes::Bytes;
use client::Api;
use client::http::{Answer, HttpApi, Transport};
use controllers::nodes::{ipam::Ipam, lifecycle::Lifecycle};
use controllers::workloads::{
    cron_job::CronJobs, daemon_set::DaemonSets, deployment::Deployments, finished::Finished, job::Jobs,
    replica_set::ReplicaSets, stateful_set::StatefulSets,
};
use controllers::{
    aggregation, disruption, endpoint_slice, endpoints, garbage, load_balancer, namespace, quota, root_ca,
    scheduling, service_account,
};
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyStream;
use hyper::{Method, Request};

use crate::local::Local;
use crate::server::Server;

/// Syncs of a controller at once: upstream's number for most.
const WORKERS: usize = 5;

/// What all controllers call themselves, as upstream's.
const MANAGER: &str = "kube-controller-manager";
/// What the scheduler calls itself.
const SCHEDULER: &str = "kube-scheduler";

/// A controller's way: it lists and watches as the controller manager, as upstream's shared
/// informers do, and reads and writes single objects as the service account `kube-system/NAME`.
struct Way {
    looks: Local,
    acts: Local,
}

/// Whether a request is an informer's.
fn is_informers(request: &Request<Bytes>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let asks = |name: &str| query.split('&').any(|part| part.starts_with(name));
    request.method() == Method::GET && (asks("limit=") || asks("watch="))
}

#[async_trait]
impl Transport for Way {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, String> {
        let client = if is_informers(&request) { &self.looks } else { &self.acts };
        let response = client.forward(request).await;
        let status = response.status().as_u16();
        let frames = BodyStream::new(response.into_body()).map_err(|error| error.to_string());
        let body = frames.map_ok(|frame| frame.into_data().unwrap_or_default());
        Ok(Answer { status, body: body.boxed() })
    }
}

fn way(server: &Arc<Server>, name: &str) -> Way {
    let manager = User::new("system:kube-controller-manager", &[]).authenticated();
    let mut account = User::new(&service_account_name("kube-system", name), &[]);
    account.groups = service_account_groups("kube-system");
    let local = |user| Local::new(Arc::clone(server), user, MANAGER);
    Way { looks: local(manager), acts: local(account.authenticated()) }
}

/// The scheduler reads and writes under one name.
fn scheduler_way(server: &Arc<Server>) -> Way {
    let user = User::new("system:kube-scheduler", &[]).authenticated();
    let local = Local::new(Arc::clone(server), user, SCHEDULER);
    Way { looks: local.clone(), acts: local }
}

/// Runs the controllers without which clients fail, until stopped.
pub async fn run(server: Arc<Server>) {
    let api = |name: &str| -> Arc<dyn Api> { Arc::new(HttpApi::new(way(&server, name), MANAGER)) };
    let (clock, shutdown) = (|| Arc::clone(&server.clock), || server.shutdown.clone());
    let accounts = service_account::ServiceAccounts::default();
    let root_ca = root_ca::RootCa::new(&server.authority_pem);
    let (pods, prefix) = server.pod_network;
    let ipam = Ipam::new(pods, prefix);
    let balancers = load_balancer::LoadBalancers::new(&server.service_ports);
    let scheduler: Arc<dyn Api> = Arc::new(HttpApi::new(scheduler_way(&server), SCHEDULER));
    tokio::join!(
        controllers::run(accounts, api("service-account-controller"), clock(), WORKERS, shutdown()),
        controllers::run(root_ca, api("root-ca-cert-publisher"), clock(), WORKERS, shutdown()),
        controllers::run(
            namespace::Deletion::default(),
            api("namespace-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            garbage::Garbage::default(),
            api("generic-garbage-collector"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            aggregation::Aggregation::default(),
            api("clusterrole-aggregation-controller"),
            clock(),
            1,
            shutdown()
        ),
        controllers::run(ReplicaSets::default(), api("replicaset-controller"), clock(), WORKERS, shutdown()),
        controllers::run(DaemonSets::default(), api("daemon-set-controller"), clock(), WORKERS, shutdown()),
        controllers::run(
            StatefulSets::default(),
            api("statefulset-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            disruption::Disruption::default(),
            api("disruption-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(Jobs::default(), api("job-controller"), clock(), WORKERS, shutdown()),
        controllers::run(Deployments::default(), api("deployment-controller"), clock(), WORKERS, shutdown()),
        controllers::run(
            endpoint_slice::EndpointSlices::default(),
            api("endpointslice-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            ReplicaSets::replication_controllers(),
            api("replication-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(CronJobs::default(), api("cronjob-controller"), clock(), WORKERS, shutdown()),
        controllers::run(
            Finished::default(),
            api("ttl-after-finished-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            endpoints::Endpoints::default(),
            api("endpoint-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            endpoints::Endpoints::mirroring(),
            api("endpointslicemirroring-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(
            quota::Quotas::default(),
            api("resourcequota-controller"),
            clock(),
            WORKERS,
            shutdown()
        ),
        controllers::run(balancers, api("service-controller"), clock(), 1, shutdown()),
        controllers::run(ipam, api("node-controller"), clock(), 1, shutdown()),
        controllers::run(Lifecycle::default(), api("node-controller"), clock(), WORKERS, shutdown()),
        scheduling::run(scheduler, clock(), Arc::clone(&server.ids), shutdown()),
    );
}
