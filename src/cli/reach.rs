//! The way to a cluster's API for whoever holds its state folder, as its administrator.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use client::http::HttpApi;
use client::tls::Credentials;
use client::{ApiError, Connection, Question, Target};
use plan::config::Config;
use plan::model::{InstanceState, Inventory};
use provision::bootstrap::{Material, Vault, api_name};
use serde_json::Value;

use super::context::{self, Context};
use super::files::FolderVault;
use super::{access, fleet};

/// What we call ourselves to the API.
pub(crate) const AGENT: &str = concat!("cluster/", env!("CARGO_PKG_VERSION"));
/// Discovery with short names and singular names.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A cluster and the way to its API.
pub(crate) struct Reach {
    /// Its description.
    pub(crate) config: Config,
    /// Where it is.
    pub(crate) context: Context,
    /// What exists of it.
    pub(crate) inventory: Inventory,
    /// Whether machines are dialled by public addresses.
    pub(crate) public: bool,
    /// How its masters are reached.
    pub(crate) target: Target,
    /// Connections to them.
    pub(crate) line: Arc<Connection>,
}

/// A kind that the cluster serves, under all of its names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    /// Group, version, plural and kind.
    pub(crate) resource: client::Resource,
    /// `deploy`, `deployment`.
    pub(crate) names: Vec<String>,
}

impl Reach {
    /// Reads cluster.yaml, and finds masters and keys. Nothing is connected yet.
    pub(crate) async fn open(file: &Path) -> anyhow::Result<Self> {
        let config = context::read_config(file)?;
        let context = Context::open(&config.name, config.region.as_deref()).await?;
        if context.remembered()?.is_none() {
            bail!(
                "no keys of the cluster {} are here; `cluster up` makes a cluster and its keys",
                context.name
            );
        }
        let inventory = context.cloud.inventory(&context.name).await?;
        let public = access::dials_public(&config, context.endpoint.as_deref())?;
        let addresses: Vec<String> = fleet::nodes(&inventory, &context.name)
            .filter(|(slot, one)| {
                fleet::role_of(slot) == plan::Role::Master && one.state == InstanceState::Running
            })
            .filter_map(|(_, one)| if public { one.public_address } else { one.private_address })
            .map(|address| format!("{address}:6443"))
            .collect();
        if addresses.is_empty() {
            bail!("no master of {} runs; `cluster status` shows how they are", context.name);
        }
        let vault: Arc<dyn Vault> = Arc::new(FolderVault(context.folder.clone()));
        let material = Material::open(vault, Arc::clone(&context.clock), &context.name)?;
        let admin = material.admin()?;
        let target = Target {
            addresses,
            server_name: api_name(&context.name),
            credentials: Credentials {
                authority_pem: material.cluster_ca().to_owned(),
                certificate: Some((admin.cert_pem.clone(), admin.key_pem.expose().to_owned())),
                token: None,
            },
        };
        let line = Arc::new(Connection::new(&target)?);
        Ok(Self { config, context, inventory, public, target, line })
    }

    /// The API as controllers see it.
    pub(crate) fn api(&self) -> HttpApi<Arc<Connection>> {
        HttpApi::new(Arc::clone(&self.line), AGENT)
    }

    /// An object or a list.
    pub(crate) async fn get(&self, path: impl Into<String>) -> Result<Value, ApiError> {
        Ok(self.line.ask(Question::get(path, AGENT)).await?.value)
    }

    /// Addresses of workers, as seen from here.
    pub(crate) fn workers(&self) -> Vec<Ipv4Addr> {
        fleet::nodes(&self.inventory, &self.context.name)
            .filter(|(slot, one)| {
                fleet::role_of(slot) == plan::Role::Worker && one.state == InstanceState::Running
            })
            .filter_map(|(_, one)| if self.public { one.public_address } else { one.private_address })
            .collect()
    }

    /// Every kind that is served.
    pub(crate) async fn served(&self) -> Result<Vec<Served>, ApiError> {
        let mut all = Vec::new();
        for path in ["/api", "/apis"] {
            let question = Question { accept: DISCOVERY, ..Question::get(path, AGENT) };
            served_by(&self.line.ask(question).await?.value, &mut all);
        }
        Ok(all)
    }
}

fn served_by(document: &Value, all: &mut Vec<Served>) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for group in list(&document["items"]) {
        for version in list(&group["versions"]) {
            for found in list(&version["resources"]) {
                let kind = text(&found["responseKind"]["kind"]);
                let mut names = vec![text(&found["resource"]), text(&found["singularResource"])];
                names.push(kind.to_lowercase());
                names.extend(list(&found["shortNames"]).iter().map(text));
                names.retain(|name| !name.is_empty());
                names.dedup();
                let resource = client::Resource {
                    group: text(&group["metadata"]["name"]).into(),
                    version: text(&version["version"]).into(),
                    plural: text(&found["resource"]).into(),
                    kind: kind.into(),
                    namespaced: found["scope"] == "Namespaced",
                    verbs: list(&found["verbs"]).iter().map(|verb| text(verb).into()).collect(),
                };
                all.push(Served { resource, names });
            }
        }
    }
}

/// The kind that a person means by `word`, at the first version that has it.
pub(crate) fn named<'a>(served: &'a [Served], word: &str) -> anyhow::Result<&'a client::Resource> {
    let word = word.to_lowercase();
    let (name, group) = word.split_once('.').map_or((&*word, None), |(name, group)| (name, Some(group)));
    let fits = |one: &&Served| {
        one.names.iter().any(|known| known == name) && group.is_none_or(|group| &*one.resource.group == group)
    };
    match served.iter().find(fits) {
        Some(one) => Ok(&one.resource),
        None => {
            bail!("the cluster serves no kind called {word}: try pods, services, deployments, jobs, nodes")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_found_by_every_name_that_people_use() {
        let mut all = Vec::new();
        let resource = json!({"resource": "deployments", "singularResource": "deployment", "shortNames": ["deploy"],
            "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["get"]});
        let apps = json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [resource]}]}]});
        served_by(&apps, &mut all);
        for word in ["deployments", "deployment", "deploy", "Deployment", "deployments.apps"] {
            assert_eq!(named(&all, word).unwrap().api_version(), "apps/v1", "{word}");
        }
        let refused = named(&all, "gateways").unwrap_err().to_string();
        assert!(refused.starts_with("the cluster serves no kind called gateways"), "{refused}");
    }
}
