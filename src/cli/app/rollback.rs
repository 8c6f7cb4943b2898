//! `cluster rollback`: a Deployment goes back to a version before (upstream's `rollout undo`).

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Shutdown;
use client::{Place, Question, http};
use serde_json::{Value, json};

use super::deploy::MANAGER;
use super::rollout::REVISION;
use super::wait::{self, Target};
use crate::cli::reach::{self, AGENT, Reach};
use crate::cli::{arguments, interrupt, output};

/// The label that tells ReplicaSets of a Deployment apart; it is the controller's.
const HASH: &str = "pod-template-hash";

/// Puts the template of an older version back, and waits until it serves.
pub(crate) async fn run(arguments: &arguments::Rollback) -> anyhow::Result<ExitCode> {
    let reach = Reach::open(&arguments.file.file).await?;
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let served = reach.served().await.context("ask the cluster what it serves")?;
    let name = arguments.name.strip_prefix("deployment/").unwrap_or(&arguments.name);
    let resource = reach::named(&served, "deployments.apps")?;
    let place = Place::within(&arguments.namespace, name);
    let path = http::object(resource, &place);
    let Some(deployment) = client::found(reach.get(path.clone()).await)? else {
        bail!(
            "there is no deployment {name} in the namespace {}; `cluster get` shows what is there",
            arguments.namespace
        );
    };
    let sets = http::collection(reach::named(&served, "replicasets.apps")?, Some(&arguments.namespace));
    let sets = reach.get(sets).await?;
    let sets = sets["items"].as_array().cloned().unwrap_or_default();
    let (revision, template) = chosen(&deployment, &sets, arguments.to_revision)?;
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": deployment["metadata"]["uid"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]);
    let path = format!("{path}?fieldManager={MANAGER}");
    reach.line.ask(Question::patch(path, "application/json-patch+json", patch, AGENT)).await?;
    output::print(&format!("deployment/{name} goes back to revision {revision}\n"))?;
    let label = format!("deployment/{name}");
    let target = Target { label, resource: resource.clone(), place };
    wait::until_served(&reach, &[target], Duration::from_secs(arguments.timeout), &shutdown).await?;
    eprintln!(
        "the manifests still describe the version that was left: mend them before the next `cluster deploy`"
    );
    Ok(ExitCode::SUCCESS)
}

/// The revision to go back to, with its template.
fn chosen(deployment: &Value, sets: &[Value], wanted: Option<u64>) -> anyhow::Result<(u64, Value)> {
    let revision = |object: &Value| {
        object["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse::<u64>().ok())
    };
    let uid = &deployment["metadata"]["uid"];
    let owned = sets.iter().filter(|set| {
        set["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| &owner["uid"] == uid)
    });
    let mut known: Vec<(u64, &Value)> = owned.filter_map(|set| Some((revision(set)?, set))).collect();
    known.sort_by_key(|(number, _)| *number);
    let now = revision(deployment).or_else(|| known.last().map(|(number, _)| *number)).unwrap_or(0);
    let listed = known.iter().map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(", ");
    let found = match wanted {
        Some(wanted) if wanted == now => bail!("revision {wanted} is the one that is wanted already"),
        Some(wanted) => known.iter().find(|(number, _)| *number == wanted),
        None => known.iter().rev().find(|(number, _)| *number < now),
    };
    let Some((number, set)) = found else {
        match wanted {
            Some(wanted) => bail!("there is no revision {wanted}; there are {listed}"),
            None => bail!("there is no version before revision {now}"),
        }
    };
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    Ok((*number, template))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_before_is_chosen_unless_one_is_named() {
        let set = |revision: &str, image: &str| {
            json!({"metadata": {"annotations": {REVISION: revision}, "ownerReferences": [{"uid": "d"}]},
                "spec": {"template": {"metadata": {"labels": {"app": "a", HASH: "x"}}, "image": image}}})
        };
        let deployment = json!({"metadata": {"uid": "d", "annotations": {REVISION: "3"}}});
        let sets = [set("1", "one"), set("3", "three"), set("2", "two")];
        let (revision, template) = chosen(&deployment, &sets, None).unwrap();
        assert_eq!((revision, &template["image"]), (2, &json!("two")));
        assert_eq!(template["metadata"]["labels"], json!({"app": "a"}));
        assert_eq!(chosen(&deployment, &sets, Some(1)).unwrap().0, 1);
        let said = |wanted, sets: &[Value]| chosen(&deployment, sets, wanted).unwrap_err().to_string();
        assert_eq!(said(Some(7), &sets), "there is no revision 7; there are 1, 2, 3");
        assert_eq!(said(Some(3), &sets), "revision 3 is the one that is wanted already");
        assert_eq!(said(None, &sets[1..2]), "there is no version before revision 3");
    }
}
