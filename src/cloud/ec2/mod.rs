//! EC2 and STS, by the AWS SDK: the only place that uses it.
//!
//! Owns how calls are made: credentials by the SDK's default chain, bounded
//! times, reads retried, changes sent once and no faster than AWS takes them.
//! It decides nothing: what a failed call means is the table's, what to do
//! about it execution's. No endpoint is treated differently from another.

mod connect;
mod convert;
mod errors;
mod launch;
mod limit;
pub(crate) mod names;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;
use base::{Clock, SystemClock};
use ipnet::Ipv4Net;
use plan::model::{Call, Instance, Inventory};
use tokio::sync::OnceCell;

use crate::error::CloudError;
use crate::seam::{Caller, Cloud, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone};
use limit::Limiter;

/// One account in one region.
pub struct Ec2 {
    reads: Client,
    changes: Client,
    identity: aws_sdk_sts::Client,
    region: String,
    endpoint: Option<String>,
    starts: Limiter,
    others: Limiter,
    honours_dry_run: OnceCell<bool>,
}

impl Ec2 {
    /// Finds region (`region`, or the configured one), endpoint and where
    /// credentials come from. Asks AWS nothing yet: missing credentials show
    /// in the first call.
    ///
    /// # Errors
    /// `NoRegion`, or an HTTPS client that cannot be made.
    pub async fn connect(region: Option<&str>) -> Result<Self, CloudError> {
        Ok(Self::of_config(&connect::load(region).await?, Arc::new(SystemClock)))
    }

    fn of_config(config: &SdkConfig, clock: Arc<dyn Clock>) -> Self {
        let once = aws_sdk_ec2::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(connect::timeouts().build())
            .build();
        Self {
            reads: Client::new(config),
            changes: Client::from_conf(once),
            identity: aws_sdk_sts::Client::new(config),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            endpoint: endpoint(config),
            // AWS's own buckets: 5 and 2 a second for starting instances, 50 and 5 a second for most else.
            starts: Limiter::new(clock.clone(), 5, Duration::from_millis(500)),
            others: Limiter::new(clock, 40, Duration::from_millis(200)),
            honours_dry_run: OnceCell::new(),
        }
    }

    /// The region's name.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The EC2 endpoint that was configured in place of AWS's own, if one was.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether the endpoint knows DryRun, found out on a read: an endpoint
    /// that does not would carry out what it was only asked about.
    async fn honours_dry_run(&self) -> Result<bool, CloudError> {
        let probe = || async {
            match self.reads.describe_route_tables().dry_run(true).send().await {
                Ok(_) => Ok(false),
                Err(error) => match errors::read("DescribeRouteTables", error) {
                    error if matches!(error.code.as_str(), "DryRunOperation" | "UnauthorizedOperation") => {
                        Ok(true)
                    }
                    error => Err(error),
                },
            }
        };
        self.honours_dry_run.get_or_try_init(probe).await.copied()
    }

    async fn slow_down(&self, call: &Call<String>) {
        match call {
            Call::RunInstances(_) | Call::StartInstances { .. } => self.starts.take().await,
            _ => self.others.take().await,
        }
    }
}

/// AWS_ENDPOINT_URL_EC2 or AWS_ENDPOINT_URL, or the profile's setting.
fn endpoint(config: &SdkConfig) -> Option<String> {
    let key =
        ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = config.service_config().zip(key.ok()).and_then(|(service, key)| service.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

#[async_trait]
impl Cloud for Ec2 {
    async fn caller(&self) -> Result<Caller, CloudError> {
        const ACTION: &str = "GetCallerIdentity";
        let answer =
            self.identity.get_caller_identity().send().await.map_err(|error| errors::read(ACTION, error))?;
        match (answer.account(), answer.arn()) {
            (Some(account), Some(arn)) => Ok(Caller { account: account.to_owned(), arn: arn.to_owned() }),
            _ => Err(CloudError::refused(ACTION, "Unreadable", "the answer names no account")),
        }
    }

    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        self.read_inventory(name).await
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        self.read_instances(name).await
    }

    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        self.slow_down(call).await;
        self.send(call, false).await
    }

    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError> {
        if !self.honours_dry_run().await? {
            return Ok(Permission::Unchecked("this endpoint does not know dry runs".to_owned()));
        }
        self.slow_down(call).await;
        let error = match self.send(call, true).await {
            Ok(_) => return Ok(Permission::Allowed),
            Err(error) => error,
        };
        match error.code.as_str() {
            "DryRunOperation" => Ok(Permission::Allowed),
            "UnauthorizedOperation" => Ok(Permission::Denied(error.message)),
            _ if keeps_all_from_being_asked(&error) => Err(error),
            _ => Ok(Permission::Unchecked(format!("{}: {}", error.code, error.message))),
        }
    }

    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        self.read_image(query).await
    }

    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError> {
        self.read_neighbours(name, cidr).await
    }

    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.read_zones().await
    }

    async fn instance_types(&self, names: &BTreeSet<String>) -> Result<Vec<InstanceType>, CloudError> {
        self.read_instance_types(names).await
    }

    async fn console_output(&self, instance: &str) -> Result<String, CloudError> {
        self.read_console(instance).await
    }
}

/// Errors of identity and connection, which the next question would meet as well.
fn keeps_all_from_being_asked(error: &CloudError) -> bool {
    error.outcome_unknown
        || matches!(
            error.code.as_str(),
            "NoCredentials"
                | "ExpiredSsoToken"
                | "BadCredentials"
                | "Connection"
                | "UntrustedCertificate"
                | "ExpiredToken"
                | "RequestExpired"
                | "AuthFailure"
                | "InvalidClientTokenId"
                | "SignatureDoesNotMatch"
                | "OptInRequired"
                | "PendingVerification"
                | "Blocked"
        )
}
