//! Name resolution without the C library: a static binary has no NSS to load.
//!
//! Reads /etc/hosts and /etc/resolv.conf once, when the client is made, and
//! asks the name servers there. Refuses nothing; a machine without
//! resolv.conf still resolves what /etc/hosts names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

/// One try at one name server; the whole lookup lies within the client's connect timeout.
const TRY: Duration = Duration::from_millis(1200);
const TRIES: usize = 2;

/// The system's names.
#[derive(Clone)]
pub(crate) struct Names(Result<Arc<TokioResolver>, String>);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// As /etc/resolv.conf and /etc/hosts have it.
    pub(crate) fn of_system() -> Self {
        let (config, options) = read_system_conf().unwrap_or_else(|error| {
            tracing::debug!(%error, "no usable /etc/resolv.conf");
            (ResolverConfig::default(), ResolverOpts::default())
        });
        Self::new(config, options)
    }

    /// As `config` has it, and /etc/hosts.
    pub(super) fn new(config: ResolverConfig, mut options: ResolverOpts) -> Self {
        options.timeout = TRY;
        options.attempts = TRIES;
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Self(builder.build().map(Arc::new).map_err(|error| error.to_string()))
    }

    /// The addresses of `name`, IPv4 first.
    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        let resolver = self.0.as_ref().map_err(|error| ResolveDnsError::new(error.clone()))?;
        let found = resolver.lookup_ip(name).await.map_err(|error| {
            ResolveDnsError::new(format!("the name {name} could not be resolved: {error}"))
        })?;
        Ok(found.iter().collect())
    }
}

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.lookup(name))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use hickory_resolver::config::NameServerConfig;
    use tokio::net::UdpSocket;

    use super::*;

    /// Answers every A query with 192.0.2.53, every other one with nothing.
    async fn name_server() -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut query = [0_u8; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length]);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        address
    }

    fn answer(query: &[u8]) -> Vec<u8> {
        let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let wants_a = query[end - 4..end - 2] == [0, 1];
        let mut reply = query[..end].to_vec();
        reply[2..4].copy_from_slice(&[0x81, 0x80]);
        reply[4..12].copy_from_slice(&[0, 1, 0, u8::from(wants_a), 0, 0, 0, 0]);
        if wants_a {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 53]);
        }
        reply
    }

    fn asking(server: SocketAddr) -> Names {
        let mut config = NameServerConfig::udp(server.ip());
        config.connections.iter_mut().for_each(|connection| connection.port = server.port());
        Names::new(ResolverConfig::from_parts(None, vec![], vec![config]), ResolverOpts::default())
    }

    #[tokio::test]
    async fn a_name_server_is_asked_without_the_c_library() {
        let names = asking(name_server().await);
        let found = names.resolve_dns("ec2.somewhere.test").await.unwrap();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 53])]);
    }

    #[tokio::test]
    async fn the_hosts_file_comes_before_the_name_servers() {
        let names = asking(name_server().await);
        let found = names.resolve_dns("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
    }

    #[tokio::test]
    async fn an_unknown_name_is_an_error_that_names_it() {
        let names = Names::new(ResolverConfig::default(), ResolverOpts::default());
        let error = names.resolve_dns("nowhere.test").await.unwrap_err();
        assert!(base::chain(&error).contains("nowhere.test"), "{}", base::chain(&error));
    }
}
