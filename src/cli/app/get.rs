//! `cluster get`: what runs, in the server's own columns.

use std::process::ExitCode;

use anyhow::Context as _;
use client::{Place, Question};
use serde_json::{Value, json};

use crate::cli::arguments::{self, Format};
use crate::cli::output;
use crate::cli::reach::{self, AGENT, Reach};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// What is shown where nothing is named.
const USUAL: &[&str] = &["deployments", "statefulsets", "daemonsets", "jobs", "pods", "services"];

/// Prints objects of a kind, or what an application usually is made of.
pub(crate) async fn run(arguments: &arguments::Get) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&arguments.file.file).await?;
    let served = reach.served().await.context("ask the cluster what it serves")?;
    let (kind, name) = match &arguments.what {
        Some(what) => match what.split_once('/') {
            Some((kind, name)) => (Some(kind), Some(name)),
            None => (Some(&**what), arguments.name.as_deref()),
        },
        None => (None, None),
    };
    let kinds: Vec<&str> = kind.map_or_else(|| USUAL.to_vec(), |kind| vec![kind]);
    let form = if arguments.output.output == Format::Json { "application/json" } else { TABLE };
    let mut found = Vec::new();
    for kind in &kinds {
        let resource = reach::named(&served, kind)?;
        let namespace = resource.namespaced.then_some(&*arguments.namespace);
        let path = match name {
            Some(name) => {
                let place = namespace.map_or_else(|| Place::cluster(name), |at| Place::within(at, name));
                client::http::object(resource, &place)
            }
            None => client::http::collection(resource, namespace.filter(|_| !arguments.all_namespaces)),
        };
        let reply = reach.line.ask(Question { accept: form, ..Question::get(path, AGENT) }).await?;
        found.push((&*resource.plural, resource.namespaced && arguments.all_namespaces, reply.value));
    }
    if arguments.output.output == Format::Json {
        let documents: Vec<_> = found.into_iter().map(|(_, _, value)| value).collect();
        output::print_json(&if kind.is_some() { documents[0].clone() } else { json!(documents) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let texts: Vec<String> = found
        .iter()
        .filter(|(_, _, table)| table["rows"].as_array().is_some_and(|rows| !rows.is_empty()))
        .map(|(plural, everywhere, table)| {
            let title = if kind.is_none() { format!("{}\n", plural.to_uppercase()) } else { String::new() };
            title + &text(table, *everywhere)
        })
        .collect();
    if texts.is_empty() {
        let place = format!("in the namespace {}", arguments.namespace);
        let place = if arguments.all_namespaces { "in any namespace".to_owned() } else { place };
        eprintln!("there is nothing {place}; `cluster deploy DIR` brings something");
    }
    output::print(&texts.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// A Table of the server's as lines, its wide columns left out.
fn text(table: &Value, everywhere: bool) -> String {
    let columns = table["columnDefinitions"].as_array().cloned().unwrap_or_default();
    let shown: Vec<usize> =
        (0..columns.len()).filter(|at| columns[*at]["priority"].as_i64().unwrap_or(0) == 0).collect();
    let mut head: Vec<String> =
        shown.iter().map(|at| columns[*at]["name"].as_str().unwrap_or_default().to_uppercase()).collect();
    if everywhere {
        head.insert(0, "NAMESPACE".to_owned());
    }
    let mut lines = vec![head];
    for row in table["rows"].as_array().into_iter().flatten() {
        let mut cells: Vec<String> = shown.iter().map(|at| cell(&row["cells"][*at])).collect();
        if everywhere {
            cells.insert(0, cell(&row["object"]["metadata"]["namespace"]));
        }
        lines.push(cells);
    }
    output::table(&lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => output::printable(text),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_its_narrow_columns_and_where_objects_are() {
        let table = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Images", "priority": 1}, {"name": "Ready", "priority": 0}],
            "rows": [{"cells": ["web", "x", 2], "object": {"metadata": {"namespace": "shop"}}}],
        });
        assert_eq!(text(&table, true), "NAMESPACE  NAME  READY\nshop       web   2\n");
        assert_eq!(text(&table, false), "NAME  READY\nweb   2\n");
    }
}
