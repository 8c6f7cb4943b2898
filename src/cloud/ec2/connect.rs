//! Finding region, credentials and endpoint as every AWS tool does, and the HTTP client they go over.
//!
//! The SDK's default chain decides: environment, profiles (single sign-on,
//! credential processes, assumed roles), web identity, the container's and
//! the instance's metadata. What is ours: bounds, so that a laptop without
//! credentials is told so within seconds, and names resolved without NSS.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::pool::{Client as PoolClient, ConnectionPool};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::names::Names;
use crate::error::CloudError;

/// Name lookup, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(3);
/// One try of one call.
const ATTEMPT: Duration = Duration::from_secs(20);
/// A read with all its tries.
const READ: Duration = Duration::from_secs(60);
const READ_TRIES: u32 = 4;
/// Where there is no metadata service, its address is mostly a black hole.
const METADATA: Duration = Duration::from_secs(1);
/// A credential process may ask a person for a code.
const CREDENTIALS: Duration = Duration::from_secs(120);

/// The configuration of both clients; retries are those of reads.
pub(super) async fn load(region: Option<&str>) -> Result<SdkConfig, CloudError> {
    let http = http_client()?;
    let provider = ProviderConfig::without_region().with_http_client(http.clone());
    let metadata = imds::Client::builder()
        .configure(&provider)
        .max_attempts(1)
        .connect_timeout(METADATA)
        .read_timeout(METADATA)
        .operation_timeout(METADATA)
        .operation_attempt_timeout(METADATA)
        .build();
    let region = match region {
        Some(region) => Region::new(region.to_owned()),
        None => configured_region(&metadata).await?,
    };
    let credentials = DefaultCredentialsChain::builder()
        .configure(provider.with_region(Some(region.clone())))
        .region(region.clone())
        .imds_client(metadata)
        .build()
        .await;
    Ok(loader(http, region).credentials_provider(credentials).load().await)
}

/// All but the credentials.
pub(super) fn loader(http: PoolClient, region: Region) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(region)
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build())
        .retry_config(RetryConfig::standard().with_max_attempts(READ_TRIES))
        .timeout_config(timeouts().operation_timeout(READ).build());
    match AppName::new("cluster") {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
}

/// Bounds of one try; a changing call has only one.
pub(super) fn timeouts() -> aws_smithy_types::timeout::TimeoutConfigBuilder {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT)
}

async fn configured_region(metadata: &imds::Client) -> Result<Region, CloudError> {
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(ImdsRegionProvider::builder().imds_client(metadata.clone()).build())
        .region()
        .await
        .ok_or_else(|| {
            let message =
                "looked at AWS_REGION, the profile in ~/.aws/config, and this machine's metadata service";
            CloudError::refused("Configuration", "NoRegion", message)
        })
}

/// rustls with ring and the system's certificates, proxies from the environment, names by [`Names`].
pub(super) fn http_client() -> Result<PoolClient, CloudError> {
    let refused = |error: &dyn std::error::Error| {
        CloudError::refused("Configuration", "Connection", format!("no HTTPS client could be made: {error}"))
    };
    // Without any, certificates are refused when one is met; asked for none, the SDK would panic.
    let some = !rustls_native_certs::load_native_certs().certs.is_empty();
    let trust = TrustStore::empty().with_native_roots(some);
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| refused(&error))?;
    let pool = ConnectionPool::builder()
        .proxy_config(ProxyConfig::from_env())
        .dns_resolver(Names::of_system())
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https()
        .map_err(|error| refused(&error))?;
    PoolClient::new(&pool).map_err(|error| refused(&error))
}
