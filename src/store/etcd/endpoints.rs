//! Several etcd endpoints as one: calls go to one of them until it fails, then to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use super::EtcdOptions;
use super::errors::{Fault, Kind, fault};
use crate::StoreError;

/// How often a quiet connection is asked whether it lives, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One endpoint, by its URL.
struct Endpoint {
    url: String,
    client: Client,
}

/// All endpoints.
pub(super) struct Endpoints {
    options: EtcdOptions,
    all: Vec<Endpoint>,
    /// The one that answered last.
    current: AtomicUsize,
}

impl Endpoints {
    /// Dials nobody yet.
    pub(super) async fn new(options: EtcdOptions) -> Result<Arc<Self>, StoreError> {
        let mut all = Vec::with_capacity(options.endpoints.len());
        for url in &options.endpoints {
            let client = connect(&options, url).await?;
            all.push(Endpoint { url: url.clone(), client });
        }
        if all.is_empty() {
            let detail = "no endpoint is given".to_owned();
            return Err(StoreError::Unavailable { at: "etcd".to_owned(), detail });
        }
        Ok(Arc::new(Self { options, all, current: AtomicUsize::new(0) }))
    }

    /// The store's name in errors.
    pub(super) fn at(&self) -> String {
        self.options.endpoints.join(",")
    }

    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    fn pick(&self) -> (usize, &Endpoint) {
        let at = self.current.load(Ordering::Relaxed) % self.all.len();
        // The remainder of a division by its length lies in the list.
        self.all.get(at).map_or_else(|| unreachable!("{at} of {}", self.all.len()), |endpoint| (at, endpoint))
    }

    fn leave(&self, at: usize) {
        let next = (at + 1) % self.all.len();
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A connection of its own to the endpoint in use, for a watch: unread, it would hold up
    /// what else goes over a shared one. With the endpoint's URL.
    pub(super) async fn own_connection(&self) -> Result<(String, Client), StoreError> {
        let (_, endpoint) = self.pick();
        Ok((endpoint.url.clone(), connect(&self.options, &endpoint.url).await?))
    }

    /// Goes on to the next endpoint.
    pub(super) fn next(&self) {
        let (at, _) = self.pick();
        self.leave(at);
    }

    /// Calls until an endpoint answers. A write is asked again only where it was surely not done.
    pub(super) async fn call<T, F, C>(&self, kind: Kind, call: F) -> Result<T, Fault>
    where
        F: Fn(Client) -> C,
        C: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut last = None;
        // A connection that broke while it lay idle is found out by the first try.
        for _ in 0..self.all.len().max(2) {
            let (at, endpoint) = self.pick();
            let called = tokio::time::timeout(self.options.timeout, call(endpoint.client.clone())).await;
            let failed = match called {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => fault(&endpoint.url, error, kind),
                Err(_) => self.late(&endpoint.url, kind),
            };
            match failed {
                Fault::NotDone(mut detail) => {
                    // A server that does not trust us hangs up, often before it has said so.
                    let hung_up = ["connection closed", "broken pipe", "reset"];
                    if endpoint.url.starts_with("https") && hung_up.iter().any(|said| detail.contains(said)) {
                        detail += " (does it trust this client's certificate?)";
                    }
                    tracing::debug!(endpoint = endpoint.url, detail, "etcd: on to the next endpoint");
                    self.leave(at);
                    last = Some(Fault::NotDone(format!("{}: {detail}", endpoint.url)));
                }
                Fault::Answer(StoreError::TimedOut { .. }) if self.all.len() > 1 => {
                    self.leave(at);
                    last = Some(failed);
                }
                Fault::Unknown(detail) => {
                    self.leave(at);
                    return Err(Fault::Unknown(format!("{}: {detail}", endpoint.url)));
                }
                answer => return Err(answer),
            }
        }
        Err(last.unwrap_or_else(|| Fault::NotDone(self.at())))
    }

    fn late(&self, url: &str, kind: Kind) -> Fault {
        let after_ms = self.options.timeout.as_millis().try_into().unwrap_or(u64::MAX);
        match kind {
            Kind::Read => Fault::Answer(StoreError::TimedOut { at: url.to_owned(), after_ms }),
            Kind::Write => Fault::Unknown(format!("no answer within {after_ms} ms")),
        }
    }

    /// An endpoint's fault as the caller's error. Compaction and the future are the caller's to
    /// complete.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        let at = self.at();
        match fault {
            Fault::Answer(error) => error,
            Fault::NotDone(detail) => StoreError::Unavailable { at, detail },
            Fault::Unknown(detail) => StoreError::OutcomeUnknown { at, detail },
            Fault::TooMuch => StoreError::Unexpected { at, detail: "an answer is too large".to_owned() },
            Fault::Compacted => StoreError::Unexpected {
                at,
                detail: "history that was not asked for is compacted".to_owned(),
            },
            Fault::Future => StoreError::Unexpected {
                at,
                detail: "a revision that was not asked for lies in the future".to_owned(),
            },
        }
    }
}

async fn connect(options: &EtcdOptions, url: &str) -> Result<Client, StoreError> {
    let mut connect = ConnectOptions::new()
        .with_connect_timeout(options.timeout)
        .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    if let Some(tls) = &options.tls {
        connect = connect.with_tls(
            TlsOptions::new()
                .ca_certificate(Certificate::from_pem(&tls.ca_pem))
                .identity(Identity::from_pem(&tls.cert_pem, &tls.key_pem)),
        );
    }
    // This dials nobody: it fails on what cannot be an URL or a certificate.
    Client::connect([url], Some(connect))
        .await
        .map_err(|error| StoreError::Refused { at: url.to_owned(), detail: base::chain(&error) })
}
