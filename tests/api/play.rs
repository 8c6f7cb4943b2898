//! Plays a group of cases against a server and tells what it answered, not yet normalised.

use std::collections::BTreeMap;

use base64::Engine as _;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Credentials, Server, Stream};
use crate::table::{Case, Group, Step};

/// Long texts for bodies: over the bound of a body, of a ConfigMap, of annotations.
const TEXTS: &[(&str, usize)] =
    &[("big", (3 << 20) + 1), ("megabyte", (1 << 20) + 1), ("large", (256 << 10) + 1)];

/// What a server gave to the steps of one case that are recorded.
pub(crate) struct Played {
    pub(crate) name: String,
    pub(crate) answers: Vec<Value>,
    /// All that was sent, so that chosen values are told from given ones.
    pub(crate) sent: String,
    /// What made ready and was refused: then the answers tell nothing.
    pub(crate) refused: Vec<String>,
}

/// Plays one group from its preparation to its last case, in a namespace of its own.
pub(crate) async fn group(server: &Server, group: &Group) -> Vec<Played> {
    let mut player = Player {
        server,
        kept: BTreeMap::new(),
        streams: BTreeMap::new(),
        sent: String::new(),
        refused: Vec::new(),
    };
    player.kept.insert("ns".to_owned(), group.name.clone());
    for (name, size) in TEXTS {
        player.kept.insert((*name).to_owned(), "a".repeat(*size));
    }
    player.make_namespace(&group.name).await;
    for step in &group.before {
        player.ready(step).await;
    }
    let mut all = Vec::new();
    for case in &group.cases {
        all.push(player.case(case).await);
    }
    all
}

struct Player<'a> {
    server: &'a Server,
    kept: BTreeMap<String, String>,
    streams: BTreeMap<String, Stream>,
    sent: String,
    refused: Vec<String>,
}

impl Player<'_> {
    /// Without controllers nobody makes the default ServiceAccount, and Pods want one.
    async fn make_namespace(&mut self, name: &str) {
        let post = |path: String, body: Value| Step {
            request: Some(format!("POST {path}")),
            body: Some(body),
            ..Step::default()
        };
        self.ready(&post("/api/v1/namespaces".to_owned(), json!({"metadata": {"name": name}}))).await;
        let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
        self.ready(&post(accounts, json!({"metadata": {"name": "default"}}))).await;
    }

    /// A step that is not recorded, and must be taken.
    async fn ready(&mut self, step: &Step) {
        let answer = self.step(step).await;
        if answer["status"].as_u64().is_some_and(|status| status >= 400) {
            let what = step.request.as_deref().unwrap_or_default();
            self.refused.push(format!("{what}: {answer}"));
        }
    }

    async fn case(&mut self, case: &Case) -> Played {
        self.sent.clear();
        self.streams.clear();
        let mut answers = Vec::new();
        for step in &case.steps {
            match step.quiet {
                true => self.ready(step).await,
                false => answers.push(self.step(step).await),
            }
        }
        Played {
            name: case.name.clone(),
            answers,
            sent: std::mem::take(&mut self.sent),
            refused: std::mem::take(&mut self.refused),
        }
    }

    async fn step(&mut self, step: &Step) -> Value {
        if let Some(name) = &step.take {
            return self.take(name, step).await;
        }
        let request = self.request(step);
        let who =
            if step.anonymous || step.bearer.is_some() { Credentials::Nobody } else { Credentials::Admin };
        if let Some(name) = &step.open {
            let (answer, stream) = self.server.open(&who, request).await;
            self.streams.extend(stream.map(|stream| (name.clone(), stream)));
            return told(&answer, step);
        }
        let answer = told(&self.server.ask(&who, request).await, step);
        for (name, pointer) in &step.keep {
            let value = match answer["body"].pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
            self.kept.insert(name.clone(), value);
        }
        shown(answer, step)
    }

    fn filled(&self, text: &str) -> String {
        let fill =
            |text: String, (name, value): (&String, &String)| text.replace(&format!("${{{name}}}"), value);
        self.kept.iter().fold(text.to_owned(), fill)
    }

    fn request(&mut self, step: &Step) -> Request<Full<Bytes>> {
        let line = self.filled(step.request.as_deref().expect("a step asks or takes"));
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        let mut headers: Vec<(String, String)> = vec![("host".to_owned(), self.server.authority.clone())];
        if let Some(user) = &step.user {
            headers.push(("impersonate-user".to_owned(), user.user.clone()));
            headers.extend(user.groups.iter().map(|group| ("impersonate-group".to_owned(), group.clone())));
            headers.extend(user.uid.iter().map(|uid| ("impersonate-uid".to_owned(), uid.clone())));
            headers.extend(
                user.extra.iter().map(|(key, value)| (format!("impersonate-extra-{key}"), value.clone())),
            );
        }
        if let Some(token) = &step.bearer {
            headers.push(("authorization".to_owned(), format!("Bearer {}", self.filled(token))));
        }
        let said = |name: &str| step.headers.keys().any(|key| key.eq_ignore_ascii_case(name));
        for (name, value) in [("accept", "application/json"), ("user-agent", "oracle")] {
            if !said(name) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let body = self.body(step);
        if !body.is_empty() && !said("content-type") {
            let kind = match (method, &step.base64) {
                (_, Some(_)) => "application/vnd.kubernetes.protobuf",
                _ => "application/json",
            };
            headers.push(("content-type".to_owned(), kind.to_owned()));
        }
        headers.extend(step.headers.iter().map(|(name, value)| (name.clone(), self.filled(value))));
        for (name, value) in headers.iter().filter(|(_, value)| value != "-") {
            request = request.header(name, value);
        }
        self.sent.push_str(&line);
        self.sent.push_str(&String::from_utf8_lossy(&body));
        request.body(Full::new(body)).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn body(&self, step: &Step) -> Bytes {
        if let Some(body) = &step.body {
            return self.filled(&body.to_string()).into();
        }
        if let Some(text) = &step.text {
            return self.filled(text).into();
        }
        let Some(text) = &step.base64 else { return Bytes::new() };
        let text: String = text.split_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64").into()
    }

    /// Events as they came, then how it went on.
    async fn take(&mut self, name: &str, step: &Step) -> Value {
        let Some(stream) = self.streams.get_mut(name) else {
            return json!({"stream": "is not open"});
        };
        let mut events = Vec::new();
        while events.len() < step.count {
            let Some(line) = stream.line().await else { break };
            events.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
        let mut told = Map::new();
        if events.len() < step.count {
            told.insert("missing".to_owned(), json!(step.count - events.len()));
        }
        if step.end {
            let more = stream.line().await;
            told.insert("ended".to_owned(), json!(more.is_none() && stream.ended()));
        }
        told.insert("body".to_owned(), Value::Array(events));
        shown(Value::Object(told), step)
    }
}

/// Headers that every good answer has, with the value that goes without saying.
const USUAL: &[(&str, Option<&str>)] = &[
    ("audit-id", None),
    ("cache-control", Some("no-cache, private")),
    ("content-type", Some("application/json")),
];
/// Headers that are told where they are there.
const TOLD: &[&str] = &[
    "warning",
    "retry-after",
    "vary",
    "etag",
    "www-authenticate",
    "allow",
    "location",
    "x-content-type-options",
];

fn told(answer: &Answer, step: &Step) -> Value {
    let mut told = Map::new();
    told.insert("status".to_owned(), json!(answer.status.as_u16()));
    let all = |name: &str| -> Vec<String> {
        answer
            .headers
            .get_all(name)
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .collect()
    };
    for (name, usual) in USUAL {
        let found = all(name);
        match (found.first(), usual) {
            (Some(_), None) => {}
            (Some(value), Some(usual)) if value == usual => {}
            (value, _) => {
                told.insert((*name).to_owned(), json!(value));
            }
        }
    }
    for name in TOLD {
        match all(name) {
            found if found.is_empty() => {}
            _ if *name == "etag" => {
                told.insert("etag".to_owned(), json!("<etag>"));
            }
            found => {
                told.insert((*name).to_owned(), json!(found));
            }
        }
    }
    let text = String::from_utf8_lossy(&answer.body);
    let lines = || text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let body = serde_json::from_str(&text)
        .or_else(|_| lines().map(Value::Array))
        .unwrap_or_else(|_| Value::String(text.clone().into_owned()));
    if step.exact {
        told.insert("exact".to_owned(), body);
        told.insert("ends".to_owned(), json!(text.chars().last()));
    } else if !answer.body.is_empty() {
        told.insert("body".to_owned(), body);
    }
    Value::Object(told)
}

/// Keeps what the step shows, drops what it hides.
fn shown(mut answer: Value, step: &Step) -> Value {
    let Some(body) = answer.get_mut("body") else { return answer };
    // An error is told whole: what was to be shown is not in it.
    if !step.show.is_empty() && body["kind"] != "Status" {
        let mut kept = Map::new();
        for pattern in &step.show {
            kept.insert(pattern.clone(), pick(body, pattern));
        }
        *body = Value::Object(kept);
    }
    for pattern in &step.hide {
        drop_at(body, pattern);
    }
    answer
}

fn pick(value: &Value, pattern: &str) -> Value {
    let Some(rest) = pattern.strip_prefix('/') else { return value.clone() };
    let (key, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match value {
        Value::Array(items) if key == "*" => items.iter().map(|item| pick(item, rest)).collect(),
        Value::Object(map) if key == "*" => {
            map.iter().map(|(name, item)| (name.clone(), pick(item, rest))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => {
            key.parse().ok().and_then(|at: usize| items.get(at)).map_or(Value::Null, |item| pick(item, rest))
        }
        Value::Object(map) => map.get(&unescaped(key)).map_or(Value::Null, |item| pick(item, rest)),
        _ => Value::Null,
    }
}

fn drop_at(value: &mut Value, pattern: &str) {
    let Some(rest) = pattern.strip_prefix('/') else { return };
    let (key, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let inner: Vec<&mut Value> = match value {
        Value::Object(map) if rest.is_empty() => {
            map.shift_remove(&unescaped(key));
            return;
        }
        Value::Array(items) if key == "*" => items.iter_mut().collect(),
        Value::Object(map) if key == "*" => map.values_mut().collect(),
        Value::Array(items) => key.parse().ok().and_then(|at: usize| items.get_mut(at)).into_iter().collect(),
        Value::Object(map) => map.get_mut(&unescaped(key)).into_iter().collect(),
        _ => return,
    };
    for item in inner {
        drop_at(item, rest);
    }
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}
