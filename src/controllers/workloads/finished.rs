//! Jobs that ended go when their time is over (upstream's ttl-after-finished-controller).

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::keep_part;
use crate::events::known;
use crate::service_account::now as at_once;
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

/// The controller.
#[derive(Debug, Default)]
pub struct Finished(Projection<Option<Ending>>);

/// When a Job that ended is to go.
#[derive(Debug, Clone)]
pub struct Ending {
    at: Timestamp,
    uid: String,
}

fn ending(job: &Value) -> Option<Ending> {
    let seconds = job["spec"]["ttlSecondsAfterFinished"].as_i64()?;
    if meta::deletion_timestamp(job).is_some() {
        return None;
    }
    let ended = meta::list_at(job, "status.conditions")
        .iter()
        .find(|one| matches!(one["type"].as_str(), Some("Complete" | "Failed")) && one["status"] == "True")?;
    let ended: Timestamp = ended["lastTransitionTime"].as_str()?.parse().ok()?;
    Some(Ending {
        at: ended + Duration::from_secs(u64::try_from(seconds).ok()?),
        uid: meta::uid(job).to_owned(),
    })
}

#[async_trait]
impl Controller for Finished {
    type Key = Place;
    type Facts = Ending;

    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        if resource.is("batch", "jobs") { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, _resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        at_once(keep_part(&mut self.0, change, ending))
    }

    fn facts(&self, key: &Place) -> Option<Ending> {
        self.0.get(key)?.clone()
    }

    async fn sync(place: Place, ending: Ending, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        if ending.at > now {
            return Ok(Next::After(ending.at.duration_since(now).unsigned_abs()));
        }
        let delete = Write::Delete {
            place,
            propagation: Propagation::Foreground,
            uid: Some(ending.uid),
            resource_version: None,
        };
        client::found(api.write(&known("batch", "v1", "jobs", "Job"), delete).await)?;
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_job_that_ended_and_says_so_has_an_end() {
        let job = |ttl: Value, status: &str| {
            json!({"metadata": {"uid": "u"}, "spec": {"ttlSecondsAfterFinished": ttl}, "status": {"conditions":
                [{"type": "Complete", "status": status, "lastTransitionTime": "1970-01-01T00:00:10Z"}]}})
        };
        assert_eq!(ending(&job(json!(5), "True")).map(|end| end.at.as_second()), Some(15));
        assert!(ending(&job(json!(5), "False")).is_none() && ending(&job(Value::Null, "True")).is_none());
    }
}
