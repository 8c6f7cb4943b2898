//! `cluster deploy`: manifests of a folder are checked by the server, applied, and waited for
//! until what they describe serves.
//!
//! What the manifests say is made so by server-side apply; fields that they do not name stay as
//! they are. Nothing is changed unless the server takes all of it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Shutdown;
use client::{ApiError, Place, Question, Resource};
use serde_json::Value;

use super::manifests::{self, Manifest};
use super::page::{self, Found};
use super::rollout::WAITED;
use super::wait::{self, Target};
use crate::cli::output::{self, Failure, YELLOW};
use crate::cli::reach::{AGENT, Reach, Served};
use crate::cli::{access, arguments, interrupt};

const APPLY: &str = "application/apply-patch+yaml";
/// Upstream's `fieldManager` of what is applied.
pub(crate) const MANAGER: &str = "cluster-deploy";

/// A manifest with the place it has on the cluster.
struct Wanted {
    manifest: Manifest,
    resource: Resource,
    place: Place,
}

/// Applies, waits, and tells where it is.
pub(crate) async fn run(arguments: &arguments::Deploy) -> anyhow::Result<ExitCode> {
    let manifests = manifests::read(&arguments.path)?;
    let reach = Reach::open(&arguments.file.file).await?;
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let served = reach.served().await.context("ask the cluster what it serves")?;
    let wanted = placed(manifests, &served, &arguments.namespace)?;
    rehearse(&reach, &wanted).await?;
    for one in &wanted {
        output::print(&format!("{} {}\n", apply(&reach, one).await?, one.manifest.label()))?;
    }
    let targets: Vec<Target> = wanted
        .iter()
        .filter(|one| WAITED.contains(&one.manifest.kind()))
        .map(|one| Target {
            label: one.manifest.label(),
            resource: one.resource.clone(),
            place: one.place.clone(),
        })
        .collect();
    let patience = Duration::from_secs(arguments.timeout);
    wait::until_served(&reach, &targets, patience, &shutdown).await?;
    pages(&reach, &wanted).await
}

fn placed(manifests: Vec<Manifest>, served: &[Served], namespace: &str) -> anyhow::Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for manifest in manifests {
        let version = manifest.object["apiVersion"].as_str().unwrap_or_default();
        let fits =
            |one: &&Served| one.resource.api_version() == version && &*one.resource.kind == manifest.kind();
        let Some(found) = served.iter().find(fits) else {
            bail!("{}: the cluster serves no {} of {version}", manifest.origin, manifest.kind());
        };
        let place = if found.resource.namespaced {
            let own = manifest.object["metadata"]["namespace"].as_str().unwrap_or(namespace);
            Place::within(own, manifest.name())
        } else {
            Place::cluster(manifest.name())
        };
        all.push(Wanted { resource: found.resource.clone(), place, manifest });
    }
    Ok(all)
}

/// Has the server check everything before anything is changed.
async fn rehearse(reach: &Reach, wanted: &[Wanted]) -> anyhow::Result<()> {
    let mut refused = Vec::new();
    let mut warned: Vec<String> = Vec::new();
    for one in wanted {
        match send(reach, one, "&dryRun=All&fieldValidation=Strict").await {
            Ok(reply) => {
                let fresh = reply.warnings.iter().map(|text| format!("{}: {text}", one.manifest.label()));
                warned.extend(fresh);
            }
            // Its namespace comes with the same manifests.
            Err(error) if error.is_not_found() && comes_along(wanted, one) => {}
            Err(error) => refused.push(format!("{}: {error}", one.manifest.origin)),
        }
    }
    for text in warned {
        eprintln!("{} {text}", output::paint("warning:", YELLOW));
    }
    if refused.is_empty() {
        return Ok(());
    }
    bail!("the cluster refuses this; nothing was changed\n  {}", refused.join("\n  "))
}

fn comes_along(wanted: &[Wanted], one: &Wanted) -> bool {
    wanted.iter().any(|other| {
        other.manifest.kind() == "Namespace" && one.place.namespace.as_deref() == Some(other.manifest.name())
    })
}

async fn send(reach: &Reach, one: &Wanted, more: &str) -> Result<client::Reply, ApiError> {
    let path = format!(
        "{}?fieldManager={MANAGER}&force=true{more}",
        client::http::object(&one.resource, &one.place)
    );
    reach.line.ask(Question::patch(path, APPLY, one.manifest.object.clone(), AGENT)).await
}

/// Applies one object and says what that was: `created`, `configured`, `unchanged`.
async fn apply(reach: &Reach, one: &Wanted) -> anyhow::Result<&'static str> {
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let label = || format!("apply {} ({})", one.manifest.label(), one.manifest.origin);
    let before = client::found(reach.get(client::http::object(&one.resource, &one.place)).await);
    let before = before.with_context(label)?;
    let after = send(reach, one, "").await.with_context(label)?.value;
    Ok(match before {
        None => "created  ",
        Some(before) if version(&before) == version(&after) => "unchanged",
        Some(_) => "configured",
    })
}

/// Fetches the page of every Service that is reached from outside, and says where it is.
async fn pages(reach: &Reach, wanted: &[Wanted]) -> anyhow::Result<ExitCode> {
    let mut silent = false;
    for one in wanted.iter().filter(|one| one.manifest.kind() == "Service") {
        match page::of_service(reach, &client::http::object(&one.resource, &one.place)).await? {
            Found::Inside => {}
            Found::Answers(url, status, bytes) => output::print(&format!(
                "{} answers at {url} (status {status}, {bytes} bytes); {}\n",
                one.manifest.label(),
                from_where(reach).await
            ))?,
            Found::Silent(url, why) => {
                silent = true;
                let at = if url.is_empty() { String::new() } else { format!(" at {url}") };
                eprintln!(
                    "{} {} does not answer{at}: {why}",
                    output::paint("failed", output::RED),
                    one.manifest.label()
                );
            }
        }
    }
    if silent {
        eprintln!(
            "  access.services of cluster.yaml says who may reach Services, and `cluster status` how the machines are"
        );
        return Err(Failure::said());
    }
    Ok(ExitCode::SUCCESS)
}

async fn from_where(reach: &Reach) -> String {
    match access::resolve(&reach.config, reach.context.endpoint.as_deref()).await {
        Ok(access) => {
            let all: Vec<_> = access.services.iter().map(ToString::to_string).collect();
            format!("open to {} (access.services)", all.join(", "))
        }
        Err(_) => "access.services of cluster.yaml says to whom it is open".to_owned(),
    }
}
