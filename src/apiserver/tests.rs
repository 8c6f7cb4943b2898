use std::net::Ipv4Addr;
use std::sync::Arc;

use access::User;
use base::{RandomIds, Shutdown, SystemClock};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use store::{Embedded, EmbeddedOptions};

use crate::{Local, Options, Server, start};

/// A key that signs tokens of these tests and nothing else.
fn signing_key() -> String {
    let authority = pki::Authority::create("tests", jiff::Timestamp::now()).expect("a key");
    authority.key_pem().expose().to_owned()
}

pub(crate) struct Fixture {
    pub(crate) server: Arc<Server>,
    admin: Local,
    shutdown: Shutdown,
    run: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = EmbeddedOptions { folder: folder.path().join("store") };
        let shutdown = Shutdown::new();
        let options = Options {
            store: Arc::new(Embedded::open(&options).expect("a store")),
            registry: api::kinds::registry(),
            issuer: start::issuer("https://kubernetes.default.svc", &signing_key()).expect("an issuer"),
            authority_pem: String::new(),
            address: "127.0.0.1:6443".to_owned(),
            service_network: (Ipv4Addr::new(10, 96, 0, 0), 16),
            agents: None,
            service_ports: vec![80, 443],
            pod_network: (Ipv4Addr::new(10, 244, 0, 0), 16),
            node_ports: (30000, 32767),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            shutdown: shutdown.clone(),
        };
        let (server, feed) = Server::open(options).await.expect("a server");
        let run = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.run(feed).await }
        });
        let admin = Local::new(Arc::clone(&server), User::new("admin", &["system:masters"]), "tests");
        let fixture = Self { server, admin, shutdown, run, _folder: folder };
        fixture.post("/api/v1/namespaces", json!({"metadata": {"name": "a"}})).await;
        fixture
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.run.await.expect("an orderly end");
    }

    async fn post(&self, path: &str, object: Value) -> Value {
        self.admin.json(Method::POST, path, &object).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn get(&self, path: &str) -> Value {
        self.admin
            .json(Method::GET, path, &Value::Null)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn refused(&self, method: Method, path: &str, object: Value) -> (u16, String) {
        let error = self.admin.json(method, path, &object).await.expect_err(path);
        (error.code, error.message)
    }

    async fn config(&self, name: &str, value: &str) -> Value {
        let labels = json!({"tier": value});
        let object = json!({"metadata": {"name": name, "labels": labels}, "data": {"k": value}});
        self.post(MAPS, object).await
    }
}

const MAPS: &str = "/api/v1/namespaces/a/configmaps";

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

/// The next events of a watch, one a line.
async fn events(body: &mut crate::http::Body, count: usize) -> Vec<Value> {
    let (mut held, mut found) = (Vec::new(), Vec::new());
    while found.len() < count {
        let frame = body.frame().await.expect("more").expect("a whole stream");
        held.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            found.push(serde_json::from_slice(&line).expect("JSON"));
        }
    }
    found
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let fixture = Fixture::start().await;
    let made = fixture.config("one", "1").await;
    assert_eq!(fixture.get(&format!("{MAPS}/one")).await, made);
    let (code, says) = fixture.refused(Method::POST, MAPS, json!({"metadata": {"name": "one"}})).await;
    assert_eq!((code, says.as_str()), (409, "configmaps \"one\" already exists"));

    let mut changed = made.clone();
    changed["data"]["k"] = "2".into();
    let path = format!("{MAPS}/one");
    let put = fixture.admin.json(Method::PUT, &path, &changed).await.expect("put");
    assert_ne!(put["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let (code, _) = fixture.refused(Method::PUT, &path, changed).await;
    assert_eq!(code, 409, "the version that it names is an old one");
    let same = fixture.admin.json(Method::PUT, &path, &put).await.expect("put");
    assert_eq!(same, put, "a write that changes nothing is none");

    let gone = fixture.admin.json(Method::DELETE, &path, &Value::Null).await.expect("deleted");
    assert_eq!(gone["status"], "Success");
    assert_eq!(fixture.refused(Method::GET, &path, Value::Null).await.0, 404);
    fixture.stop().await;
}

#[tokio::test]
async fn pages_show_one_moment_and_say_how_much_is_left() {
    let fixture = Fixture::start().await;
    for name in ["a", "b", "c"] {
        fixture.config(name, "x").await;
    }
    let first = fixture.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    fixture.config("d", "x").await;
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let rest = fixture.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!(names(&rest), ["c"], "what came after the first page is not in the second");
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(
        names(&fixture.get(&format!("{MAPS}?labelSelector=tier%3Dx&fieldSelector=metadata.name!%3Da")).await),
        ["b", "c", "d"]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn a_watch_with_a_selector_tells_what_begins_and_ceases_to_match() {
    let fixture = Fixture::start().await;
    fixture.config("here", "yes").await;
    let path = format!(
        "{MAPS}?watch=true&labelSelector=tier%3Dyes&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    let mut body = fixture.admin.send(Method::GET, &path, "application/json", Bytes::new()).await.into_body();
    let told = events(&mut body, 2).await;
    assert_eq!((&told[0]["type"], &told[0]["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("here")));
    assert_eq!(told[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let merge = "application/merge-patch+json";
    for tier in ["no", "yes"] {
        let patch = json!({"metadata": {"labels": {"tier": tier}}});
        fixture.admin.typed(Method::PATCH, &format!("{MAPS}/here"), merge, &patch).await.expect("patched");
    }
    let told = events(&mut body, 2).await;
    assert_eq!(told[0]["type"], "DELETED");
    assert_eq!(told[0]["object"]["metadata"]["labels"]["tier"], "yes", "as it last matched");
    assert_eq!(told[1]["type"], "ADDED");
    fixture.stop().await;
}

#[tokio::test]
async fn a_watch_from_before_the_window_is_told_that_it_expired() {
    let fixture = Fixture::start().await;
    let path = format!("{MAPS}?watch=true&resourceVersion=1");
    // The cache was loaded at the store's first revision, which is no longer told from.
    fixture.server.cache.shelf("/registry/configmaps/").expect("a shelf").load([], store::Revision(99));
    let mut body = fixture.admin.send(Method::GET, &path, "application/json", Bytes::new()).await.into_body();
    let told = events(&mut body, 1).await;
    assert_eq!((&told[0]["type"], &told[0]["object"]["reason"]), (&json!("ERROR"), &json!("Expired")));
    assert_eq!(told[0]["object"]["message"], "too old resource version: 1 (99)");
    fixture.stop().await;
}

#[tokio::test]
async fn a_finalizer_holds_a_deleted_object_until_it_is_taken_off() {
    let fixture = Fixture::start().await;
    let object = json!({"metadata": {"name": "held", "finalizers": ["example.com/f"]}});
    fixture.post(MAPS, object).await;
    let path = format!("{MAPS}/held");
    let marked = fixture.admin.json(Method::DELETE, &path, &Value::Null).await.expect("marked");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let patch = json!({"metadata": {"finalizers": null}});
    let merge = "application/merge-patch+json";
    fixture.admin.typed(Method::PATCH, &path, merge, &patch).await.expect("patched");
    assert_eq!(fixture.refused(Method::GET, &path, Value::Null).await.0, 404);
    fixture.stop().await;
}

#[tokio::test]
async fn two_services_never_get_one_address() {
    let fixture = Fixture::start().await;
    let path = "/api/v1/namespaces/a/services";
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let one = fixture.post(path, service("one")).await;
    let two = fixture.post(path, service("two")).await;
    assert_ne!(one["spec"]["clusterIP"], two["spec"]["clusterIP"]);
    assert_ne!(one["spec"]["ports"][0]["nodePort"], two["spec"]["ports"][0]["nodePort"]);
    let mut third = service("three");
    third["spec"]["clusterIP"] = one["spec"]["clusterIP"].clone();
    assert_eq!(fixture.refused(Method::POST, path, third.clone()).await.0, 422);
    fixture.admin.json(Method::DELETE, &format!("{path}/one"), &Value::Null).await.expect("deleted");
    fixture.post(path, third).await;
    fixture.stop().await;
}

#[tokio::test]
async fn who_has_no_role_is_refused_and_told_what() {
    let fixture = Fixture::start().await;
    let nobody =
        Local::new(Arc::clone(&fixture.server), User::new("nobody", &["system:authenticated"]), "tests");
    let error = nobody.json(Method::GET, MAPS, &Value::Null).await.expect_err("forbidden");
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            403,
            "configmaps is forbidden: User \"nobody\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"a\""
        )
    );
    fixture.stop().await;
}

#[tokio::test]
async fn who_may_only_read_pods_does_not_get_into_them() {
    let fixture = Fixture::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/a";
    let group = "rbac.authorization.k8s.io";
    let rule = json!({"apiGroups": [""], "resources": ["*"], "verbs": ["get"]});
    fixture.post(&format!("{rbac}/roles"), json!({"metadata": {"name": "r"}, "rules": [rule]})).await;
    let binding = json!({
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "reader"}],
    });
    fixture.post(&format!("{rbac}/rolebindings"), binding).await;
    // What is read anew has reached the authorizer too.
    fixture.get(&format!("{rbac}/rolebindings/r")).await;
    let reader = Local::new(Arc::clone(&fixture.server), User::new("reader", &[]), "tests");
    let code = async |part: &str| {
        let path = format!("/api/v1/namespaces/a/pods/p/{part}");
        reader.json(Method::GET, &path, &Value::Null).await.expect_err("no such pod").code
    };
    assert_eq!([code("log").await, code("proxy").await], [404, 404]);
    for part in ["exec", "attach", "portforward"] {
        assert_eq!(code(part).await, 403, "{part}");
    }
    fixture.stop().await;
}
