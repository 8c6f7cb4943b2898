//! The server's parts, joined: store, cache, kinds, gates, limits, metrics.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};

use access::token::Issuer;
use api::kind::{Kind, Registry};
use base::{Clock, Ids, Shutdown};
use ring::rand::SystemRandom;
use store::{Store, StoreError};

use crate::cache::{Cache, CacheError, Shelf, feed::Feed, feed::PREFIX};
use crate::describe::columns::Columns;
use crate::describe::metrics::Metrics;
use crate::describe::openapi::OpenApi;
use crate::gate::authorize::Gate;
use crate::lease::EventLease;
use crate::limits::Limits;

/// What a server is started with.
pub struct Options {
    /// Where objects are kept.
    pub store: Arc<dyn Store>,
    /// The kinds it serves.
    pub registry: Registry,
    /// Who signs service accounts' tokens.
    pub issuer: Issuer,
    /// The authority that clients trust this server by, PEM: told to pods.
    pub authority_pem: String,
    /// `host:port` that clients reach it under, for discovery.
    pub address: String,
    /// Service addresses: first address and length of the prefix.
    pub service_network: (Ipv4Addr, u8),
    /// Pods' addresses: first address and length of the prefix.
    pub pod_network: (Ipv4Addr, u8),
    /// Ports on which workers may answer for Services of type LoadBalancer.
    pub service_ports: Vec<u16>,
    /// Node ports, both included.
    pub node_ports: (u16, u16),
    /// What agents are connected to with; none where there are none.
    pub agents: Option<Arc<rustls::ClientConfig>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Ends everything.
    pub shutdown: Shutdown,
}

/// An API server.
pub struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
    registry: RwLock<Arc<Registry>>,
    pub(crate) gate: Gate,
    pub(crate) issuer: Issuer,
    pub(crate) authority_pem: String,
    pub(crate) address: String,
    pub(crate) service_network: (Ipv4Addr, u8),
    pub(crate) pod_network: (Ipv4Addr, u8),
    pub(crate) service_ports: Vec<u16>,
    pub(crate) node_ports: (u16, u16),
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) openapi: OpenApi,
    pub(crate) columns: Columns,
    pub(crate) agents: Option<Arc<rustls::ClientConfig>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) random: SystemRandom,
    pub(crate) event_lease: EventLease,
    pub(crate) shutdown: Shutdown,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

fn prefix(kind: &Kind) -> Arc<str> {
    format!("{PREFIX}{}/", kind.stored.key).into()
}

impl Server {
    /// Loads the cache. [`Server::run`] must be run beside the requests.
    pub async fn open(options: Options) -> Result<(Arc<Self>, Feed), StoreError> {
        let kept = options.registry.iter().filter(|kind| is_kept(kind));
        let prefixes: BTreeMap<Arc<str>, ()> = kept.map(|kind| (prefix(kind), ())).collect();
        let (cache, feed) = Cache::open(Arc::clone(&options.store), prefixes.into_keys()).await?;
        let server = Self {
            store: options.store,
            gate: Gate::new(&cache),
            cache,
            registry: RwLock::new(Arc::new(options.registry)),
            issuer: options.issuer,
            authority_pem: options.authority_pem,
            address: options.address,
            service_network: options.service_network,
            pod_network: options.pod_network,
            service_ports: options.service_ports,
            node_ports: options.node_ports,
            limits: Limits::default(),
            metrics: Metrics::default(),
            openapi: OpenApi::default(),
            columns: Columns::default(),
            agents: options.agents,
            clock: options.clock,
            ids: options.ids,
            random: SystemRandom::new(),
            event_lease: EventLease::default(),
            shutdown: options.shutdown,
        };
        Ok((Arc::new(server), feed))
    }

    /// Keeps the cache up to date until stopped.
    pub async fn run(&self, feed: Feed) {
        self.cache.run(feed, self.shutdown.clone()).await;
    }

    /// The kinds as they are now.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves one more kind (or another row of one), once its objects are loaded.
    pub async fn add_kind(&self, kind: Arc<Kind>) -> Result<(), CacheError> {
        if is_kept(&kind) {
            self.cache.add(prefix(&kind)).await?;
        }
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Registry::clone(&registry);
        self.columns.forget(&kind);
        changed.insert(kind);
        *registry = Arc::new(changed);
        Ok(())
    }

    /// Serves a kind no longer.
    pub fn remove_kind(&self, group: &str, plural: &str) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Registry::clone(&registry);
        changed.remove(group, plural);
        *registry = Arc::new(changed);
    }

    /// Where a kind's objects are; an empty shelf for kinds that are never kept.
    #[must_use]
    pub fn shelf(&self, kind: &Kind) -> Arc<Shelf> {
        self.cache.shelf(&prefix(kind)).unwrap_or_default()
    }

    /// A random number between 0 and 1.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        f64::from(u32::try_from(self.random() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// A random number.
    #[must_use]
    pub fn random(&self) -> u64 {
        let text = self.ids.next();
        u64::from_str_radix(text.get(..16).unwrap_or_default(), 16)
            .unwrap_or_default()
            .wrapping_add(u64::from_str_radix(text.get(16..).unwrap_or_default(), 16).unwrap_or_default())
    }

    /// A new UID.
    #[must_use]
    pub fn uid(&self) -> String {
        let hex = self.ids.next();
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
        // A version 4 UUID: the version's digit and the variant's are fixed.
        let variant = u8::from_str_radix(part(16..17), 16).unwrap_or(0) & 0x3 | 0x8;
        format!(
            "{}-{}-4{}-{variant:x}{}-{}",
            part(0..8),
            part(8..12),
            part(13..16),
            part(17..20),
            part(20..32)
        )
    }
}

/// Whether objects of a kind are kept at all: reviews are answered and forgotten.
fn is_kept(kind: &Kind) -> bool {
    kind.verbs.has(api::kind::Verbs::GET)
}
