//! The [`Api`] over HTTP's requests and answers, wherever they go: into the API server of this
//! process, or over a connection. Where to is the [`Transport`]'s.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Api, ApiError, Event, List, Place, Propagation, Resource, Selection, View, Watched, Write};

const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Objects asked for at a time.
const PAGE: usize = 500;
/// After so long a watch is begun anew: a server that was lost without a word is noticed.
const WATCH_SECONDS: u64 = 480;
/// Longest line of a watch: an object and what is around it.
const LINE_BYTES: usize = 4 * 1024 * 1024;
/// How long what discovery said holds. It must be shorter than the grace that a deleted
/// namespace is given: what was made in it was served by then.
const DISCOVERY_HOLDS: Duration = Duration::from_secs(1);

/// An answer whose body comes piece by piece.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; an error is a connection that broke.
    pub body: BoxStream<'static, Result<Bytes, String>>,
}

/// Carries requests to an API server, as one user.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and gives the answer when its head is there.
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, String>;
}

/// An API server behind a transport.
pub struct HttpApi<T> {
    transport: T,
    agent: &'static str,
    served: Mutex<Option<(Instant, Vec<Arc<Resource>>)>>,
}

impl<T: Transport> HttpApi<T> {
    /// The API server that `transport` leads to, for a client that calls itself `agent`:
    /// managedFields name it by that.
    pub fn new(transport: T, agent: &'static str) -> Self {
        Self { transport, agent, served: Mutex::new(None) }
    }

    async fn send(&self, ask: Ask<'_>) -> Result<Answer, ApiError> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(ACCEPT, ask.accept)
            .header(USER_AGENT, self.agent);
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, ask.kind);
        }
        let request = request.body(ask.body).map_err(|error| ApiError::Unreachable(error.to_string()))?;
        let answer = self.transport.send(request).await.map_err(ApiError::Unreachable)?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let code = answer.status;
        let status = read(answer).await.unwrap_or_default();
        Err(refused(code, &status))
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<Value, ApiError> {
        read(self.send(ask).await?).await
    }

    async fn discover(&self) -> Result<Vec<Arc<Resource>>, ApiError> {
        let mut all = Vec::new();
        for path in ["/api", "/apis"] {
            let groups = self.ask(Ask::get(path.to_owned(), DISCOVERY)).await?;
            for group in groups["items"].as_array().into_iter().flatten() {
                served_by(group, &mut all);
            }
        }
        Ok(all)
    }
}

/// A request.
struct Ask<'a> {
    method: Method,
    path: String,
    accept: &'a str,
    kind: &'a str,
    body: Bytes,
}

impl<'a> Ask<'a> {
    fn get(path: String, accept: &'a str) -> Self {
        Self { method: Method::GET, path, accept, kind: "", body: Bytes::new() }
    }

    fn with(method: Method, path: String, kind: &'a str, body: &Value) -> Self {
        Self { method, path, accept: JSON, kind, body: Bytes::from(body.to_string()) }
    }
}

async fn read(answer: Answer) -> Result<Value, ApiError> {
    let body: BytesMut = answer.body.try_collect().await.map_err(ApiError::Unreachable)?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::Unreachable(format!("its answer is no JSON: {error}")))
}

pub(crate) fn refused(code: u16, status: &Value) -> ApiError {
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    ApiError::Refused { code, reason: text("reason"), message: text("message") }
}

/// Each resource of a discovered group, at the first version that has it.
fn served_by(group: &Value, all: &mut Vec<Arc<Resource>>) {
    let name = group["metadata"]["name"].as_str().unwrap_or_default();
    let first = all.len();
    for version in group["versions"].as_array().into_iter().flatten() {
        for resource in version["resources"].as_array().into_iter().flatten() {
            let text = |value: &Value| -> Arc<str> { value.as_str().unwrap_or_default().into() };
            let plural = text(&resource["resource"]);
            if all[first..].iter().any(|before| before.plural == plural) {
                continue;
            }
            all.push(Arc::new(Resource {
                group: name.into(),
                version: text(&version["version"]),
                plural,
                kind: text(&resource["responseKind"]["kind"]),
                namespaced: resource["scope"] == "Namespaced",
                verbs: resource["verbs"].as_array().into_iter().flatten().map(text).collect(),
            }));
        }
    }
}

/// The path of a resource's objects, of one namespace or of all.
pub fn collection(resource: &Resource, namespace: Option<&str>) -> String {
    let root =
        if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
    let within = namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
    format!("{root}/{}{within}/{}", resource.version, resource.plural)
}

fn within(resource: &Resource, which: &Selection) -> String {
    collection(resource, which.namespace.as_deref())
}

fn selectors(which: &Selection) -> String {
    let of = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("&{name}={}", encoded(text)),
    };
    of("fieldSelector", &which.fields) + &of("labelSelector", &which.labels)
}

/// A value of a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The path of one object.
pub fn object(resource: &Resource, place: &Place) -> String {
    format!("{}/{}", collection(resource, place.namespace.as_deref()), escaped(&place.name))
}

/// A name as a path segment. RBAC's names may hold anything but `/` and `%`.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn delete_options(propagation: Propagation, uid: Option<&str>, version: Option<&str>) -> Value {
    let policy = match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    for (field, value) in [("uid", uid), ("resourceVersion", version)] {
        if let Some(value) = value {
            options["preconditions"][field] = json!(value);
        }
    }
    options
}

#[async_trait]
impl<T: Transport> Api for HttpApi<T> {
    async fn resources(&self) -> Result<Vec<Arc<Resource>>, ApiError> {
        let mut served = self.served.lock().await;
        if let Some((at, resources)) = &*served
            && at.elapsed() < DISCOVERY_HOLDS
        {
            return Ok(resources.clone());
        }
        let at = Instant::now();
        let resources = self.discover().await?;
        *served = Some((at, resources.clone()));
        Ok(resources)
    }

    async fn get(&self, resource: &Resource, place: &Place, view: View) -> Result<Value, ApiError> {
        let accept = if view == View::Whole { JSON } else { METADATA };
        self.ask(Ask::get(object(resource, place), accept)).await
    }

    async fn list(&self, resource: &Resource, which: &Selection, view: View) -> Result<List, ApiError> {
        let accept = if view == View::Whole { JSON } else { METADATA_LIST };
        let (mut all, mut next) = (List::default(), String::new());
        loop {
            let path =
                format!("{}?limit={PAGE}{}&continue={next}", within(resource, which), selectors(which));
            let mut page = self.ask(Ask::get(path, accept)).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                // Items of a list leave out what the list says; objects are told the same either way.
                let whole = |mut item: Value| {
                    if let Some(fields) = item.as_object_mut() {
                        fields.entry("apiVersion").or_insert_with(|| json!(resource.api_version()));
                        fields.entry("kind").or_insert_with(|| json!(&*resource.kind));
                    }
                    item
                };
                all.items.extend(items.into_iter().map(whole));
            }
            let text = |field: &str| page["metadata"][field].as_str().unwrap_or_default().to_owned();
            (all.resource_version, next) = (text("resourceVersion"), text("continue"));
            if next.is_empty() {
                return Ok(all);
            }
        }
    }

    async fn watch(
        &self,
        resource: &Resource,
        which: &Selection,
        from: &str,
        view: View,
    ) -> Result<Watched, ApiError> {
        let accept = if view == View::Whole { JSON } else { METADATA };
        let query = format!(
            "watch=true{}&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={WATCH_SECONDS}",
            selectors(which)
        );
        let path = format!("{}?{query}", within(resource, which));
        let answer = self.send(Ask::get(path, accept)).await?;
        Ok(events(answer.body))
    }

    async fn write(&self, resource: &Resource, write: Write) -> Result<Value, ApiError> {
        let ask = match &write {
            Write::Create { namespace, object } => {
                Ask::with(Method::POST, collection(resource, namespace.as_deref()), JSON, object)
            }
            Write::Update { place, subresource, object: new } => {
                let part = subresource.map(|name| format!("/{name}")).unwrap_or_default();
                Ask::with(Method::PUT, object(resource, place) + &part, JSON, new)
            }
            Write::CreateIn { place, subresource, object: new } => {
                let path = format!("{}/{subresource}", object(resource, place));
                Ask::with(Method::POST, path, JSON, new)
            }
            Write::Merge { place, subresource, patch } => {
                let part = subresource.map(|name| format!("/{name}")).unwrap_or_default();
                Ask::with(Method::PATCH, object(resource, place) + &part, MERGE, patch)
            }
            Write::Apply { place, manager, object: wanted } => {
                let path = format!("{}?fieldManager={manager}&force=true", object(resource, place));
                Ask::with(Method::PATCH, path, APPLY, wanted)
            }
            Write::Delete { place, propagation, uid, resource_version } => {
                let options = delete_options(*propagation, uid.as_deref(), resource_version.as_deref());
                Ask::with(Method::DELETE, object(resource, place), JSON, &options)
            }
            Write::Remove { place, uid } => {
                let mut options = delete_options(Propagation::Background, Some(uid), None);
                options["gracePeriodSeconds"] = json!(0);
                Ask::with(Method::DELETE, object(resource, place), JSON, &options)
            }
            Write::DeleteAll { namespace } => {
                let options = delete_options(Propagation::Background, None, None);
                Ask::with(Method::DELETE, collection(resource, Some(namespace)), JSON, &options)
            }
        };
        self.ask(ask).await
    }
}

/// The events of a watch's body, a line each.
fn events(body: BoxStream<'static, Result<Bytes, String>>) -> Watched {
    let lines = futures::stream::try_unfold((body, BytesMut::new()), |(mut body, mut rest)| async {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                return Ok(Some((line, (body, rest))));
            }
            if rest.len() > LINE_BYTES {
                return Err(ApiError::Unreachable("a watch sends a line that does not end".to_owned()));
            }
            match body.next().await {
                Some(Ok(bytes)) => rest.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(ApiError::Unreachable(error)),
                None => return Ok(None),
            }
        }
    });
    lines.and_then(|line| async move { event(&line) }).boxed()
}

fn event(line: &[u8]) -> Result<Event, ApiError> {
    let mut event: Value = serde_json::from_slice(line)
        .map_err(|error| ApiError::Unreachable(format!("a watch sends what is no JSON: {error}")))?;
    let object = event["object"].take();
    match event["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Ok(Event::Put(object)),
        Some("DELETED") => Ok(Event::Gone(object)),
        Some("BOOKMARK") => {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            Ok(Event::Reached(version.to_owned()))
        }
        Some("ERROR") => {
            let code = object["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            Err(refused(code.unwrap_or(500), &object))
        }
        _ => Err(ApiError::Unreachable("a watch sends an event of no known type".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Held;

    use super::*;

    /// Answers requests in order and keeps what was asked.
    struct Script {
        answers: Held<Vec<(u16, Vec<&'static str>)>>,
        asked: Arc<Held<Vec<String>>>,
    }

    #[async_trait]
    impl Transport for Script {
        async fn send(&self, request: Request<Bytes>) -> Result<Answer, String> {
            let (body, at) = (request.body().clone(), format!("{} {}", request.method(), request.uri()));
            self.asked
                .lock()
                .unwrap()
                .push(format!("{at} {}", String::from_utf8_lossy(&body)).trim().to_owned());
            let (status, pieces) = self.answers.lock().unwrap().remove(0);
            let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from(piece)));
            Ok(Answer { status, body: futures::stream::iter(pieces.collect::<Vec<_>>()).boxed() })
        }
    }

    fn script(answers: Vec<(u16, Vec<&'static str>)>) -> (HttpApi<Script>, Arc<Held<Vec<String>>>) {
        let asked = Arc::default();
        let script = Script { answers: Held::new(answers), asked: Arc::clone(&asked) };
        (HttpApi::new(script, "test"), asked)
    }

    fn pods() -> Resource {
        Resource {
            group: "".into(),
            version: "v1".into(),
            plural: "pods".into(),
            kind: "Pod".into(),
            namespaced: true,
            verbs: Vec::new(),
        }
    }

    #[tokio::test]
    async fn lists_come_in_pages_and_watches_in_lines_cut_anywhere() {
        let (api, asked) = script(vec![
            (200, vec![r#"{"metadata":{"resourceVersion":"7","continue":"c"},"items":[{"a":1}]}"#]),
            (200, vec![r#"{"metadata":{"resourceVersion":"7"},"items":[{"a":2}]}"#]),
            (
                200,
                vec![
                    "{\"type\":\"ADDED\",\"obj",
                    "ect\":{\"b\":1}}\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n",
                    "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}}\n",
                ],
            ),
        ]);
        let list = api.list(&pods(), &Selection::within("ns"), View::Whole).await.unwrap();
        assert_eq!((list.items.len(), &*list.resource_version), (2, "7"));
        let events: Vec<_> =
            api.watch(&pods(), &Selection::default(), "7", View::Metadata).await.unwrap().collect().await;
        assert_eq!(events[0].as_ref().unwrap(), &Event::Put(json!({"b": 1})));
        assert_eq!(events[1].as_ref().unwrap(), &Event::Reached("9".to_owned()));
        assert!(events[2].as_ref().unwrap_err().is_expired());
        let asked = asked.lock().unwrap();
        assert_eq!(asked[1], "GET /api/v1/namespaces/ns/pods?limit=500&continue=c");
    }

    #[tokio::test]
    async fn writes_say_what_they_are_and_refusals_why() {
        let (api, asked) = script(vec![
            (200, vec!["{}"]),
            (200, vec!["{}"]),
            (409, vec![r#"{"reason":"AlreadyExists","message":"it is there"}"#]),
        ]);
        let place = Place::within("ns", "a");
        let delete = Write::Delete {
            place: place.clone(),
            propagation: Propagation::Foreground,
            uid: Some("u".to_owned()),
            resource_version: None,
        };
        api.write(&pods(), delete).await.unwrap();
        let cluster = Resource { group: "rbac.authorization.k8s.io".into(), ..pods() };
        let apply = Write::Apply { place: Place::cluster("system:a b"), manager: "m", object: json!({}) };
        api.write(&cluster, apply).await.unwrap();
        let create = Write::Create { namespace: Some("ns".into()), object: json!({}) };
        let error = api.write(&pods(), create).await.unwrap_err();
        assert!(error.is_already_exists(), "{error:?}");
        let expected = [
            "DELETE /api/v1/namespaces/ns/pods/a {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\
             \"propagationPolicy\":\"Foreground\",\"preconditions\":{\"uid\":\"u\"}}",
            "PATCH /apis/rbac.authorization.k8s.io/v1/pods/system:a%20b?fieldManager=m&force=true {}",
            "POST /api/v1/namespaces/ns/pods {}",
        ];
        assert_eq!(*asked.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn each_resource_is_discovered_once_at_the_first_version_that_has_it() {
        let core = r#"{"items":[{"metadata":{},"versions":[{"version":"v1","resources":[
            {"resource":"pods","responseKind":{"kind":"Pod"},"scope":"Namespaced","verbs":["get","list"]}]}]}]}"#;
        let apps = r#"{"items":[{"metadata":{"name":"x.io"},"versions":[
            {"version":"v2","resources":[{"resource":"a","responseKind":{"kind":"A"},"scope":"Cluster","verbs":[]}]},
            {"version":"v1","resources":[{"resource":"a","responseKind":{"kind":"A"},"scope":"Cluster","verbs":[]},
                {"resource":"b","responseKind":{"kind":"B"},"scope":"Cluster","verbs":[]}]}]}]}"#;
        let (api, asked) = script(vec![(200, vec![core]), (200, vec![apps])]);
        let all = api.resources().await.unwrap();
        let names: Vec<_> = all.iter().map(|r| format!("{}/{}", r.api_version(), r.plural)).collect();
        assert_eq!(names, ["v1/pods", "x.io/v2/a", "x.io/v1/b"]);
        assert!(all[0].namespaced && all[0].can("list") && !all[1].namespaced);
        api.resources().await.unwrap();
        assert_eq!(asked.lock().unwrap().len(), 2, "asked again within a second");
    }
}
