//! `cluster pki`: certificates and when they expire.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use provision::bootstrap::{Material, Vault};
use serde::Serialize;

use super::arguments::{self, Format};
use super::context::{self, Context};
use super::files::FolderVault;
use super::output;

/// Version of the JSON form.
const FORMAT: u32 = 1;
const DAY_SECONDS: i64 = 24 * 60 * 60;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    format: u32,
    certificates: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    subject: String,
    issuer: String,
    expires: String,
    days_left: i64,
    /// `ok`, `renewed by the next up` or `expired`.
    state: &'static str,
    names: Vec<String>,
}

/// Prints the certificates of the state folder; exit status 1 if one has expired.
pub(crate) async fn run(arguments: &arguments::Pki) -> anyhow::Result<ExitCode> {
    let config = context::read_config(&arguments.file.file)?;
    let context = Context::open(&config.name, config.region.as_deref()).await?;
    if context.remembered()?.is_none() {
        bail!("the cluster {} has no certificates yet; `cluster up` makes them", context.name);
    }
    let vault: Arc<dyn Vault> = Arc::new(FolderVault(context.folder.clone()));
    let material = Material::open(vault, context.clock.clone(), &context.name)?;
    let slots = config.slots().into_iter().map(|slot| (slot.name, slot.role)).collect();
    let now = context.clock.now();
    let rows: Vec<Row> = material
        .list(&slots)?
        .into_iter()
        .map(|listed| {
            let left = listed.info.not_after.as_second() - now.as_second();
            let state = match left {
                ..=0 => "expired",
                _ if listed.info.ca => "ok",
                _ if ::pki::needs_renewal(&listed.info, now) => "renewed by the next up",
                _ => "ok",
            };
            let addresses = listed.info.ips.iter().map(ToString::to_string);
            Row {
                name: listed.name,
                subject: listed.info.subject,
                issuer: listed.info.issuer,
                expires: listed.info.not_after.strftime("%Y-%m-%d").to_string(),
                days_left: left.div_euclid(DAY_SECONDS),
                state,
                names: listed.info.dns_names.into_iter().chain(addresses).collect(),
            }
        })
        .collect();
    let expired = rows.iter().any(|row| row.days_left < 0);
    match arguments.output.output {
        Format::Json => output::print_json(&Document { format: FORMAT, certificates: rows })?,
        Format::Text => output::print(&text(&rows))?,
    }
    Ok(if expired { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(rows: &[Row]) -> String {
    let header = ["CERTIFICATE", "SUBJECT", "EXPIRES", "DAYS", "STATE"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        cells.push(vec![
            row.name.clone(),
            row.subject.clone(),
            row.expires.clone(),
            row.days_left.to_string(),
            row.state.to_owned(),
        ]);
    }
    output::table(&cells)
}
