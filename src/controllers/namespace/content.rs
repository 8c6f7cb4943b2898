//! Deleting what a namespace holds, and judging what is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::conditions::Findings;
use crate::{Api, ApiError, Resource, Selection, View, Write};

/// How long finalizers are given before the next look, as upstream guesses.
const FINALIZERS_TAKE: Duration = Duration::from_secs(15);

/// What is left after a pass.
#[derive(Debug)]
pub enum Left {
    /// Nothing: the namespace may go.
    Nothing,
    /// Something that needs about this long.
    Waiting(Duration),
    /// Something could not be deleted.
    Failed(ApiError),
}

/// Deletes all there is, pods first, and notes what is left. `age` is the time since the
/// namespace was deleted.
pub async fn remove_all(
    api: &dyn Api,
    namespace: &Arc<str>,
    served: &[Arc<Resource>],
    age: Duration,
    findings: &mut Findings,
) -> Left {
    let (pods, others): (Vec<_>, Vec<_>) = served
        .iter()
        .filter(|resource| resource.namespaced && resource.can("delete") && resource.can("list"))
        .partition(|resource| resource.is("", "pods"));
    let mut pass = Pass { estimate: Duration::ZERO, error: None };
    let mut pods_left = false;
    for resource in pods {
        pods_left |= pass.remove(api, namespace, resource, age, findings).await;
    }
    if pods_left {
        findings.only_failures();
        return pass.end();
    }
    for resource in others {
        pass.remove(api, namespace, resource, age, findings).await;
    }
    pass.end()
}

struct Pass {
    estimate: Duration,
    error: Option<ApiError>,
}

impl Pass {
    /// Whether objects of the resource are left.
    async fn remove(
        &mut self,
        api: &dyn Api,
        namespace: &Arc<str>,
        resource: &Resource,
        age: Duration,
        findings: &mut Findings,
    ) -> bool {
        match remove(api, namespace, resource, age).await {
            Ok(verdict) => {
                if verdict.count > 0 {
                    findings.left(resource, verdict.count, &verdict.finalizers);
                }
                self.estimate = self.estimate.max(verdict.estimate.unwrap_or_default());
                if verdict.count > 0 && verdict.estimate.is_none() {
                    let error = unexpected(namespace, resource);
                    findings.failed(&error);
                    self.error.get_or_insert(error);
                }
                verdict.count > 0
            }
            Err(error) => {
                findings.failed(&error);
                self.error.get_or_insert(error);
                false
            }
        }
    }

    fn end(self) -> Left {
        match self.error {
            Some(error) => Left::Failed(error),
            None if self.estimate.is_zero() => Left::Nothing,
            None => Left::Waiting(self.estimate),
        }
    }
}

fn unexpected(namespace: &str, resource: &Resource) -> ApiError {
    ApiError::Refused {
        code: 500,
        reason: "InternalError".to_owned(),
        message: format!("unexpected items still remain in namespace: {namespace} for gvr: {resource}"),
    }
}

/// What is left of one resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many objects.
    pub count: usize,
    /// How many of them each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
    /// How long they may take; none where nothing explains why they are still there.
    pub estimate: Option<Duration>,
}

async fn remove(
    api: &dyn Api,
    namespace: &Arc<str>,
    resource: &Resource,
    age: Duration,
) -> Result<Verdict, ApiError> {
    let pods = resource.is("", "pods");
    let view = if pods { View::Whole } else { View::Metadata };
    let before = api.list(resource, &Selection::within(namespace), view).await?.items;
    if before.is_empty() {
        return Ok(judge(&before, Duration::ZERO));
    }
    let grace = if pods { grace(&before) } else { Duration::ZERO };
    api.write(resource, Write::DeleteAll { namespace: Arc::clone(namespace) }).await?;
    let after = api.list(resource, &Selection::within(namespace), View::Metadata).await?.items;
    Ok(judge(&after, if age > grace { Duration::ZERO } else { grace }))
}

/// The longest time that a running pod is given to end.
fn grace(pods: &[Value]) -> Duration {
    let running = pods.iter().filter(|pod| {
        let phase = pod["status"]["phase"].as_str();
        !matches!(phase, Some("Succeeded" | "Failed"))
    });
    let seconds = running.filter_map(|pod| pod["spec"]["terminationGracePeriodSeconds"].as_u64()).max();
    Duration::from_secs(seconds.unwrap_or_default())
}

/// Judges the objects that are left after a deletion that gives them `grace`.
pub fn judge(left: &[Value], grace: Duration) -> Verdict {
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for finalizer in left.iter().filter_map(|object| object["metadata"]["finalizers"].as_array()).flatten() {
        *finalizers.entry(finalizer.as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let estimate = if left.is_empty() {
        Some(Duration::ZERO)
    } else if !grace.is_zero() {
        Some(grace)
    } else {
        (!finalizers.is_empty()).then_some(FINALIZERS_TAKE)
    };
    Verdict { count: left.len(), finalizers, estimate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_is_explained_by_grace_then_by_finalizers_or_not_at_all() {
        let held = json!({"metadata": {"finalizers": ["a/b"]}});
        let bare = json!({"metadata": {}});
        let ten = Duration::from_secs(10);
        let cases = [
            ("nothing", vec![], ten, Some(Duration::ZERO)),
            ("pods that end", vec![bare.clone()], ten, Some(ten)),
            ("finalizers", vec![held, bare.clone()], Duration::ZERO, Some(FINALIZERS_TAKE)),
            ("no reason", vec![bare], Duration::ZERO, None),
        ];
        for (name, left, grace, expected) in cases {
            assert_eq!(judge(&left, grace).estimate, expected, "{name}");
        }
    }

    #[test]
    fn finished_pods_need_no_time() {
        let pod = |phase: &str, seconds: u64| json!({"status": {"phase": phase}, "spec": {"terminationGracePeriodSeconds": seconds}});
        assert_eq!(grace(&[pod("Running", 30), pod("Succeeded", 90)]), Duration::from_secs(30));
        assert_eq!(grace(&[pod("Failed", 90)]), Duration::ZERO);
    }
}
