use serde_json::{Value, json};

use super::*;
use crate::fixture::Objects;
use crate::lookups::What;
use crate::rbac::RbacKind;

pub(super) fn objects() -> Objects {
    let namespace = |name: &str, phase: &str| json!({"metadata": {"name": name}, "status": {"phase": phase}});
    let account =
        |name: &str| json!({"metadata": {"namespace": "shop", "name": name, "uid": format!("u-{name}")}});
    Objects::of(&[
        (What::Namespace, namespace("shop", "Active")),
        (What::Namespace, namespace("going", "Terminating")),
        (What::ServiceAccount, account("default")),
        (What::ServiceAccount, account("builder")),
    ])
}

pub(super) struct Case<'a> {
    pub(super) user: User,
    pub(super) operation: Operation,
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) old: Option<Value>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Case {
            user: User::new("alice", &["system:masters"]),
            operation: Operation::Create,
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "shop",
            name: "",
            old: None,
        }
    }
}

impl Case<'_> {
    fn request(&self) -> Request<'_> {
        Request {
            user: &self.user,
            operation: self.operation,
            group: self.group,
            version: "v1",
            resource: self.resource,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            old: self.old.as_ref(),
            dry_run: false,
            random: 0,
        }
    }

    pub(super) fn run(
        &self,
        object: &Value,
        objects: &Objects,
        authorizer: &Authorizer,
    ) -> Result<Value, Status> {
        let world = World { objects, authorizer };
        let mut object = object.clone();
        mutate(&self.request(), &mut object, &world)?;
        validate(&self.request(), &object, &world)?;
        Ok(object)
    }

    pub(super) fn words(&self, object: &Value, objects: &Objects) -> Result<Value, String> {
        self.run(object, objects, &Authorizer::default()).map_err(|status| status.message)
    }
}

fn pod() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[test]
fn a_pod_gets_its_account_token_priority_and_tolerations() {
    let admitted = Case::default().words(&pod(), &objects()).unwrap();
    let spec = &admitted["spec"];
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert_eq!((volume.len(), &volume[..16]), (21, "kube-api-access-"));
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": volume, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    assert_eq!(
        spec["volumes"][0]["projected"].to_string(),
        concat!(
            r#"{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},"#,
            r#"{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},"#,
            r#"{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","#,
            r#""fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}"#
        )
    );
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    assert_eq!(spec.get("imagePullSecrets"), None);
    assert_eq!(
        spec["tolerations"],
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ])
    );
    let again = Case::default().words(&admitted, &objects()).unwrap();
    assert_eq!(again, admitted, "what was admitted once is not changed again");
}

#[test]
fn nothing_is_created_where_there_is_no_namespace_and_little_in_one_that_goes() {
    let case = |namespace: &'static str| Case { namespace, ..Case::default() };
    assert_eq!(
        case("nowhere").words(&pod(), &objects()),
        Err(r#"namespaces "nowhere" not found"#.to_owned())
    );
    let status = case("going").run(&pod(), &objects(), &Authorizer::default()).unwrap_err();
    assert_eq!(
        status.to_value().to_string(),
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"web\" is forbidden: "#,
            r#"unable to create new content in namespace going because it is being terminated","reason":"Forbidden","#,
            r#""details":{"name":"web","kind":"pods","causes":[{"reason":"NamespaceTerminating","#,
            r#""message":"namespace going is being terminated","field":"metadata.namespace"}]},"code":403}"#
        )
    );
    let generated = json!({"metadata": {"generateName": "web-"}, "spec": {}});
    let told = case("going").words(&generated, &objects()).unwrap_err();
    assert!(told.starts_with(r#"pods "web-" is forbidden"#), "{told}");
    let review =
        Case { group: "authorization.k8s.io", resource: "localsubjectaccessreviews", ..case("nowhere") };
    assert!(
        review.words(&json!({}), &objects()).is_ok(),
        "a review does not tell which namespaces are there"
    );
    let update = Case { operation: Operation::Update, resource: "configmaps", ..case("going") };
    assert!(update.words(&json!({}), &objects()).is_ok());
}

#[test]
fn what_may_be_about_to_appear_is_named() {
    let ask = |case: Case, object: &Value, objects: &Objects| {
        awaited(&case.request(), object, objects).map(|awaited| (awaited.what, awaited.name))
    };
    let mut bare = objects();
    bare.remove(What::ServiceAccount, "shop", "default");
    let case = |namespace: &'static str| Case { namespace, ..Case::default() };
    let mut named = pod();
    named["spec"]["serviceAccountName"] = json!("missing");
    assert_eq!(ask(case("shop"), &pod(), &objects()), None);
    assert_eq!(ask(case("shop"), &pod(), &bare), Some((What::ServiceAccount, "default".to_owned())));
    assert_eq!(ask(case("nowhere"), &pod(), &bare), Some((What::Namespace, "nowhere".to_owned())));
    assert_eq!(ask(case("shop"), &named, &bare), None, "nobody makes that one by himself");
    let update = Case { operation: Operation::Update, ..case("nowhere") };
    assert_eq!(ask(update, &pod(), &bare), None);
}

#[test]
fn three_namespaces_are_never_deleted() {
    let delete = |name: &'static str| {
        let case = Case {
            operation: Operation::Delete,
            resource: "namespaces",
            namespace: name,
            name,
            ..Case::default()
        };
        case.words(&Value::Null, &objects())
    };
    for name in ["default", "kube-system", "kube-public"] {
        let why = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!(delete(name), Err(why));
    }
    assert!(delete("kube-node-lease").is_ok() && delete("shop").is_ok());
}

#[test]
fn an_account_must_be_there_and_gives_its_pull_secrets_and_wishes() {
    let mut asked = pod();
    asked["spec"]["serviceAccountName"] = json!("missing");
    assert_eq!(
        Case::default().words(&asked, &objects()),
        Err(concat!(
            r#"pods "web" is forbidden: error looking up service account shop/missing: "#,
            r#"serviceaccount "missing" not found"#
        )
        .to_owned())
    );
    let mut all = objects();
    let builder = json!({
        "metadata": {"namespace": "shop", "name": "builder"},
        "automountServiceAccountToken": false,
        "imagePullSecrets": [{"name": "a"}, {"name": "b"}],
    });
    all.put(What::ServiceAccount, builder);
    asked["spec"]["serviceAccountName"] = json!("builder");
    let admitted = Case::default().words(&asked, &all).unwrap();
    assert_eq!(admitted["spec"]["imagePullSecrets"], json!([{"name": "a"}, {"name": "b"}]));
    assert_eq!(admitted["spec"].get("volumes"), None);
    asked["spec"]["automountServiceAccountToken"] = json!(true);
    asked["spec"]["imagePullSecrets"] = json!([{"name": "own"}]);
    let admitted = Case::default().words(&asked, &all).unwrap();
    assert_eq!(admitted["spec"]["imagePullSecrets"], json!([{"name": "own"}]));
    assert!(admitted["spec"]["volumes"].is_array(), "the pod's wish goes before the account's");
}

#[test]
fn an_own_mount_at_the_token_s_place_is_left_alone() {
    let mut asked = pod();
    let mount = json!([{"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    asked["spec"]["containers"][0]["volumeMounts"] = mount.clone();
    let admitted = Case::default().words(&asked, &objects()).unwrap();
    assert_eq!(admitted["spec"]["containers"][0]["volumeMounts"], mount);
    assert_eq!(admitted["spec"].get("volumes"), None);
}

#[test]
fn an_account_that_limits_its_secrets_is_held_to() {
    let mut all = objects();
    let strict = json!({
        "metadata": {"namespace": "shop", "name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "ok"}],
    });
    all.put(What::ServiceAccount, strict);
    let because = "is not allowed because service account strict does not reference that secret";
    for (path, value, expected) in [
        (
            "volumes",
            json!([{"name": "v", "secret": {"secretName": "bad"}}]),
            format!("volume with secret.secretName=\"bad\" {because}"),
        ),
        (
            "initContainers",
            json!([{"name": "i", "envFrom": [{"secretRef": {"name": "bad"}}]}]),
            format!("init container i with envFrom referencing secret.secretName=\"bad\" {because}"),
        ),
        (
            "containers",
            json!([{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "bad"}}}]}]),
            format!("container c with envVar E referencing secret.secretName=\"bad\" {because}"),
        ),
        (
            "imagePullSecrets",
            json!([{"name": "bad"}]),
            "imagePullSecrets[0].name=\"bad\" is not allowed because service account strict \
             does not reference that imagePullSecret"
                .to_owned(),
        ),
    ] {
        let mut asked = pod();
        asked["spec"]["serviceAccountName"] = json!("strict");
        asked["spec"][path] = value;
        let expected = format!("pods \"web\" is forbidden: {expected}");
        assert_eq!(Case::default().words(&asked, &all), Err(expected));
    }
    let mut asked = pod();
    asked["spec"]["serviceAccountName"] = json!("strict");
    asked["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "ok"}}]);
    assert!(Case::default().words(&asked, &all).is_ok());
}

#[test]
fn a_priority_is_the_class_s_and_no_other() {
    let mut all = objects();
    let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"});
    all.put(What::PriorityClass, class("high", 1000, false));
    let ask = |spec: Value, all: &Objects| {
        let mut asked = pod();
        for (key, value) in spec.as_object().unwrap() {
            asked["spec"][key] = value.clone();
        }
        Case::default().words(&asked, all).map(|pod| {
            let field = |name: &str| pod["spec"].get(name).cloned().unwrap_or_default();
            (field("priorityClassName"), field("priority"), field("preemptionPolicy"))
        })
    };
    assert_eq!(
        ask(json!({"priorityClassName": "high"}), &all),
        Ok((json!("high"), json!(1000), json!("Never")))
    );
    assert_eq!(
        ask(json!({"priorityClassName": "none"}), &all),
        Err(r#"pods "web" is forbidden: no PriorityClass with name none was found"#.to_owned())
    );
    let told = ask(json!({"priorityClassName": "high", "priority": 5}), &all).unwrap_err();
    assert_eq!(
        told,
        concat!(
            r#"pods "web" is forbidden: the integer value of priority (5) must not be provided in pod spec; "#,
            "priority admission controller computed 1000 from the given PriorityClass name"
        )
    );
    let told = ask(json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}), &all)
        .unwrap_err();
    assert!(
        told.contains("the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided")
    );
    all.put(What::PriorityClass, class("usual", 7, true));
    all.put(What::PriorityClass, class("lower", 6, true));
    assert_eq!(ask(json!({}), &all), Ok((json!("lower"), json!(6), json!("Never"))));
}

#[test]
fn a_runtime_class_must_be_there_and_gives_its_overhead_and_place() {
    let mut all = objects();
    let scheduling = json!({"nodeSelector": {"fast": "yes"}, "tolerations": [{"key": "k"}]});
    let overhead = json!({"podFixed": {"cpu": "10m"}});
    all.put(
        What::RuntimeClass,
        json!({"metadata": {"name": "kata"}, "handler": "h", "overhead": overhead, "scheduling": scheduling}),
    );
    let ask = |spec: Value| {
        let mut asked = pod();
        for (key, value) in spec.as_object().unwrap() {
            asked["spec"][key] = value.clone();
        }
        Case::default().words(&asked, &all)
    };
    let given = ask(json!({"runtimeClassName": "kata"})).unwrap();
    assert_eq!(
        (&given["spec"]["overhead"]["cpu"], &given["spec"]["nodeSelector"]["fast"]),
        (&json!("10m"), &json!("yes"))
    );
    for (spec, why) in [
        (json!({"runtimeClassName": "none"}), "pod rejected: RuntimeClass \"none\" not found"),
        (json!({"overhead": {"cpu": "1"}}), "Pod Overhead set without corresponding RuntimeClass"),
        (
            json!({"runtimeClassName": "kata", "overhead": {"cpu": "1"}}),
            "doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"runtimeClassName": "kata", "nodeSelector": {"fast": "no"}}),
            "pod.spec.nodeSelector[fast] = no",
        ),
    ] {
        let told = ask(spec).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn an_update_keeps_the_priority_that_a_client_leaves_out() {
    let old = json!({"metadata": {"name": "web"}, "spec": {"priority": 9, "preemptionPolicy": "Never"}});
    let case = Case { operation: Operation::Update, name: "web", old: Some(old), ..Case::default() };
    let admitted = case.words(&pod(), &objects()).unwrap();
    assert_eq!(
        (&admitted["spec"]["priority"], &admitted["spec"]["preemptionPolicy"]),
        (&json!(9), &json!("Never"))
    );
}

#[test]
fn there_is_one_default_priority_class() {
    let mut all = objects();
    let class = |name: &str| json!({"metadata": {"name": name}, "value": 1, "globalDefault": true});
    all.put(What::PriorityClass, class("first"));
    let group = "scheduling.k8s.io";
    let create = Case { group, resource: "priorityclasses", namespace: "", ..Case::default() };
    assert_eq!(
        create.words(&class("second"), &all),
        Err(concat!(
            r#"priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass first is already marked as "#,
            "default. Only one default can exist"
        )
        .to_owned())
    );
    let update = Case { operation: Operation::Update, name: "first", ..create };
    assert!(update.words(&class("first"), &all).is_ok());
}

#[test]
fn a_new_node_is_tainted_once() {
    let case = Case { resource: "nodes", namespace: "", ..Case::default() };
    let taint = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
    let admitted = case.words(&json!({"metadata": {"name": "n1"}}), &objects()).unwrap();
    assert_eq!(admitted["spec"]["taints"], taint);
    assert_eq!(case.words(&admitted, &objects()).unwrap(), admitted);
}

#[test]
fn own_tolerations_of_a_taint_or_of_all_are_left_alone() {
    for (own, added) in [
        (json!([{"operator": "Exists"}]), 0),
        (json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]), 1),
        (json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]), 2),
    ] {
        let mut asked = pod();
        asked["spec"]["tolerations"] = own;
        let admitted = Case::default().words(&asked, &objects()).unwrap();
        assert_eq!(admitted["spec"]["tolerations"].as_array().unwrap().len(), 1 + added);
    }
}

#[test]
fn a_signer_is_approved_for_by_who_may_and_signed_for_by_who_may() {
    let mut authorizer = Authorizer::default();
    let rule = |verb: &str, name: &str| json!({"verbs": [verb], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [name]});
    let rules = [rule("approve", "acme.io/web"), rule("sign", "acme.io/*")];
    authorizer.policy.put(RbacKind::ClusterRole, &json!({"metadata": {"name": "r"}, "rules": rules}));
    let binding = json!({
        "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob"}],
    });
    authorizer.policy.put(RbacKind::ClusterRoleBinding, &binding);
    let csr = |signer: &str, certificate: &str| json!({"metadata": {"name": "c"}, "spec": {"signerName": signer}, "status": {"certificate": certificate}});
    for (part, signer, expected) in [
        ("approval", "acme.io/web", true),
        ("approval", "acme.io/other", false),
        ("status", "acme.io/other", true),
        ("status", "kubernetes.io/kubelet-serving", false),
    ] {
        let case = Case {
            user: User::new("bob", &[]),
            operation: Operation::Update,
            group: "certificates.k8s.io",
            resource: "certificatesigningrequests",
            subresource: part,
            namespace: "",
            name: "c",
            old: Some(csr(signer, "")),
        };
        let found = case.run(&csr(signer, "new"), &objects(), &authorizer);
        assert_eq!(found.is_ok(), expected, "{part} {signer}");
        if let Err(status) = found {
            let verb = if part == "approval" { "approve" } else { "sign" };
            let why = format!("user not permitted to {verb} requests with signerName \"{signer}\"");
            assert!(status.message.ends_with(&why), "{}", status.message);
        }
    }
}

#[test]
fn a_role_is_written_by_who_holds_it() {
    let group = "rbac.authorization.k8s.io";
    let case = Case { user: User::new("bob", &[]), group, resource: "roles", ..Case::default() };
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    let told = case.words(&role, &objects()).unwrap_err();
    assert!(told.contains("attempting to grant RBAC permissions not currently held"), "{told}");
    let empty = json!({"metadata": {"name": "r"}, "rules": []});
    assert!(case.words(&empty, &objects()).is_ok());
}
