//! Tables of jobs: what is refused, what may change, what a row shows.

use serde_json::{Value, json};

use super::cron::cron;
use crate::kinds::testing::{cells, changed, created, updated};

/// A job's spec with these fields.
fn spec_of(fields: &Value) -> Value {
    let mut spec = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}});
    for (name, value) in fields.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

fn made(fields: &Value) -> Result<Value, Vec<String>> {
    created("batch", "Job", json!({"metadata": {"uid": "u"}, "spec": spec_of(fields)}))
}

#[test]
fn a_job_selects_its_pods_by_its_own_uid() {
    let job = made(&json!({})).unwrap();
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"],
        json!({"job-name": "a", "batch.kubernetes.io/job-name": "a", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"})
    );
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
}

#[test]
fn jobs_are_refused_for_what_is_wrong_with_them() {
    let always = json!({"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}});
    let table = [
        (
            "pods that never end",
            always,
            vec!["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            "limits by index without indexes",
            json!({"backoffLimitPerIndex": 1, "completions": -1}),
            vec![
                "spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            "a rule for nothing",
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}),
            vec![
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        ),
        (
            "codes out of order",
            json!({"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2, 1, 0]}}]}}),
            vec![
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,0]: must be ordered",
            ],
        ),
        (
            "success beyond all",
            json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "1-5"}]}}),
            vec![
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"1-5\": error parsing succeededIndexes: too large index: \"5\"",
            ],
        ),
    ];
    for (why, fields, wrong) in table {
        assert_eq!(made(&fields).unwrap_err(), wrong, "{why}");
    }
}

#[test]
fn a_job_keeps_its_template_and_its_completions() {
    let old = made(&json!({})).unwrap();
    let mut new = old.clone();
    new["spec"]["completions"] = json!(2);
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "y".into();
    let wrong = updated("batch", "Job", new.clone(), old.clone()).unwrap_err();
    assert_eq!(wrong[0], "spec.completions: Invalid value: 2: field is immutable");
    assert!(wrong[1].starts_with("spec.template: Invalid value: {\"labels\":{"), "{}", wrong[1]);
    assert!(wrong[1].contains("\"Spec\":{\"Volumes\":null,\"InitContainers\":null,\"Containers\":[{\"Name\":\"c\",\"Image\":\"y\",\"Command\":null"), "{}", wrong[1]);
    assert!(wrong[1].ends_with("}: field is immutable"));
    new = old.clone();
    new["spec"]["parallelism"] = json!(3);
    assert!(updated("batch", "Job", new, old).is_ok());
}

#[test]
fn a_status_goes_on_and_never_back() {
    let mut old = made(&json!({})).unwrap();
    old["status"] = json!({"failed": 2});
    let mut new = old.clone();
    new["status"] = json!({"failed": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(
        changed("batch", "Job", Some("status"), new, old).unwrap_err(),
        [
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.startTime: Required value: startTime is required for finished job",
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
        ]
    );
}

#[test]
fn schedules_are_read_as_upstream_reads_them() {
    for fine in ["* * * * *", "*/5 0-6 1,15 jan-MAR sun", "@hourly", "@every 1h", "0 0 ? * 6"] {
        assert_eq!(cron(fine), Ok(()), "{fine}");
    }
    let table = [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("@often", "unrecognized descriptor: @often"),
    ];
    for (schedule, why) in table {
        assert_eq!(cron(schedule), Err(why.to_owned()));
    }
}

#[test]
fn a_cron_job_is_served_with_its_defaults() {
    let object = json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": spec_of(&json!({}))}}});
    let made = created("batch", "CronJob", object).unwrap();
    assert_eq!(
        (&made["spec"]["concurrencyPolicy"], &made["spec"]["suspend"]),
        (&json!("Allow"), &json!(false))
    );
    let row = cells("batch", "CronJob", &made, "2026-01-01T00:00:00Z");
    assert_eq!(row[1..6], ["* * * * *", "<none>", "False", "0", "<none>"]);
}

#[test]
fn rows_show_how_far_a_job_is() {
    let job = json!({
        "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"completions": 3, "template": {"spec": {"containers": []}}},
        "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z"},
    });
    let row = cells("batch", "Job", &job, "2026-01-01T00:01:30Z");
    assert_eq!(row[..5], ["a", "Running", "1/3", "90s", "90s"]);
}
