//! A job's status: it goes on and never back, and agrees with itself.

use serde_json::Value;

use crate::field_error::{At, Errors};
use crate::kinds::rules::not_negative;
use crate::{meta, time};

pub(super) fn has(job: &At<'_>, condition: &str) -> bool {
    let mut all = job.get("status.conditions").items();
    all.any(|c| c.get("type").is(condition) && c.get("status").is("True"))
}

/// A status may go on but not back, and what it says must agree with itself where it changed.
pub(super) fn status(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (now, was) = (new.get("status"), old.get("status"));
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(&now.get(name), e);
    }
    let conditions = now.get("conditions").path;
    let changed = |name: &'static str| !meta::same(now.get(name).value, was.get(name).value);
    let turned = |condition: &str| has(new, condition) != has(old, condition);
    let (complete, failed) = (has(new, "Complete"), has(new, "Failed"));
    let finished = complete || failed;
    let ended = finished != (has(old, "Complete") || has(old, "Failed"));
    let (done_at, start) = (now.get("completionTime"), now.get("startTime"));
    let mut refuse = |is: bool, says: &str| {
        if is {
            e.invalid_whole(&conditions, says);
        }
    };
    let whole_turned = turned("Complete") || turned("Failed");
    refuse(whole_turned && complete && failed, "cannot set Complete=True and Failed=true conditions");
    refuse(
        (turned("Complete") || turned("FailureTarget")) && complete && has(new, "FailureTarget"),
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    refuse(
        turned("Failed") && failed && !has(new, "FailureTarget"),
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    refuse(
        (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !has(new, "SuccessCriteriaMet"),
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    for terminal in ["Failed", "Complete", "FailureTarget"] {
        refuse(
            has(old, terminal) && !has(new, terminal),
            &format!("cannot disable the terminal {terminal}=True condition"),
        );
    }
    refuse(
        has(old, "SuccessCriteriaMet") && !has(new, "SuccessCriteriaMet"),
        "cannot disable the SuccessCriteriaMet=True condition",
    );
    refuse(
        has(new, "SuccessCriteriaMet") && failed,
        "cannot set SuccessCriteriaMet=True and Failed=true conditions",
    );
    refuse(
        has(new, "SuccessCriteriaMet") && has(new, "FailureTarget"),
        "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
    );
    if turned("Complete") || changed("completionTime") {
        if done_at.is_set() && !complete {
            e.invalid(&done_at, "cannot set completionTime when there is no Complete=True condition");
        }
        if !done_at.is_set() && complete {
            e.required(&done_at.path, "completionTime is required for Complete jobs");
        }
    }
    if (changed("startTime") || changed("completionTime")) && start.is_set() && done_at.is_set() {
        let at = |at: &At<'_>| time::seconds(at.str());
        if at(&done_at) < at(&start) {
            e.invalid(&done_at, "must be equal to or after `startTime`");
        }
    }
    if (ended || changed("active")) && finished && now.get("active").int() > 0 {
        e.invalid(&now.get("active"), "active>0 is invalid for finished job");
    }
    if (ended || changed("startTime")) && finished && !start.is_set() {
        e.required(&start.path, "startTime is required for finished job");
    }
    if (ended || changed("terminating")) && finished && now.get("terminating").int() > 0 {
        e.invalid(&now.get("terminating"), "terminating>0 is invalid for finished job");
    }
    if (changed("ready") || changed("active")) && now.get("ready").int() > now.get("active").int() {
        e.invalid(&now.get("ready"), "cannot set more ready pods than active");
    }
    for name in ["failed", "succeeded"] {
        let scaled = name == "succeeded"
            && new.get("spec.completionMode").is("Indexed")
            && new.get("spec.completions").value == new.get("spec.parallelism").value;
        if now.get(name).int() < was.get(name).int() && !scaled {
            e.invalid_as(
                &now.get(name).path,
                now.get(name).int(),
                format!("cannot decrease the {name} counter"),
            );
        }
    }
    if was.get("completionTime").is_set() && done_at.is_set() && changed("completionTime") {
        e.invalid(&done_at, "field is immutable");
    }
    if was.get("startTime").is_set() && changed("startTime") && !new.get("spec.suspend").bool() {
        let shown = start.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&start.path, shown, "field is immutable for unsuspended job once set");
    }
}
