//! Who may ask the agent what: the API server by its certificate, everybody else by what the API
//! says of their certificate or token, as upstream's webhook mode does. Nobody is anonymous.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use api::meta;
use client::{Resource, Write};
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Method, StatusCode};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::context::Context;

/// Whom API servers are known as.
const SERVER: &str = "kube-apiserver-kubelet-client";
/// How long answers of the API are believed: upstream's numbers.
const KNOWN_SECONDS: i64 = 120;
const ALLOWED_SECONDS: i64 = 300;
const DENIED_SECONDS: i64 = 30;
/// Answers that are kept; beyond that all are asked for again.
const KEPT: usize = 4096;

/// Who is at the other end of a connection, by its certificate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Caller {
    /// An API server.
    Server,
    /// Somebody with a certificate of the cluster's: `username` and `groups`.
    Known(Value),
    /// Somebody without.
    Unknown,
}

impl Caller {
    /// By the certificate that was verified.
    pub(crate) fn of(certificate: Option<&CertificateDer<'_>>) -> Self {
        let parsed = certificate.and_then(|der| x509_parser::parse_x509_certificate(der).ok());
        let Some((_, certificate)) = parsed else { return Self::Unknown };
        let subject = certificate.subject();
        let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        match name {
            None => Self::Unknown,
            Some(SERVER) => Self::Server,
            Some(name) => {
                let groups: Vec<&str> =
                    subject.iter_organization().filter_map(|group| group.as_str().ok()).collect();
                Self::Known(json!({"username": name, "groups": groups}))
            }
        }
    }
}

/// Answers of the API, for as long as they are believed.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    tokens: Kept<Option<Value>>,
    decisions: Kept<bool>,
}

#[derive(Debug)]
struct Kept<T>(Mutex<BTreeMap<String, (T, i64)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    fn get(&self, key: &str, now: i64) -> Option<T> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    fn put(&self, key: String, value: T, until: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key, (value, until));
    }
}

/// What a request asks for: upstream's verb and, any of which suffices, parts of the Node.
fn asked(method: &Method, path: &str) -> (&'static str, Vec<&'static str>) {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let parts = match first {
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "checkpoint" => vec!["checkpoint"],
        "pods" | "runningpods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    };
    (verb, parts)
}

impl Doors {
    /// Lets a request in, or says with which status and words it is refused.
    pub(crate) async fn check(
        &self,
        context: &Context,
        caller: &Caller,
        (method, path, headers): (&Method, &str, &HeaderMap),
    ) -> Result<(), (StatusCode, String)> {
        let user = match caller {
            Caller::Server => return Ok(()),
            Caller::Known(user) => Some(user.clone()),
            Caller::Unknown => match bearer(headers) {
                Some(token) => self.user(context, token).await?,
                None => None,
            },
        };
        let user = user.ok_or_else(|| (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()))?;
        let (verb, parts) = asked(method, path);
        for part in &parts {
            if self.allowed(context, &user, verb, part).await? {
                return Ok(());
            }
        }
        let name = user["username"].as_str().unwrap_or_default();
        let says = format!(
            "Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])",
            parts.join(" ")
        );
        Err((StatusCode::FORBIDDEN, says))
    }

    async fn user(&self, context: &Context, token: &str) -> Result<Option<Value>, (StatusCode, String)> {
        // The token itself is not kept.
        let key = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let now = context.clock.now().as_second();
        if let Some(user) = self.tokens.get(&key, now) {
            return Ok(user);
        }
        let status =
            review(context, ("authentication", "tokenreviews", "TokenReview"), json!({"token": token}))
                .await?;
        let user = (status["authenticated"] == true).then(|| status["user"].clone());
        self.tokens.put(key, user.clone(), now + KNOWN_SECONDS);
        Ok(user)
    }

    async fn allowed(
        &self,
        context: &Context,
        user: &Value,
        verb: &str,
        part: &str,
    ) -> Result<bool, (StatusCode, String)> {
        let now = context.clock.now().as_second();
        let key = format!("{verb} {part} {user}");
        if let Some(allowed) = self.decisions.get(&key, now) {
            return Ok(allowed);
        }
        let spec = json!({
            "user": user["username"], "groups": user["groups"], "uid": user["uid"], "extra": user["extra"],
            "resourceAttributes": {
                "verb": verb, "version": "v1", "resource": "nodes", "subresource": part,
                "name": context.config.node,
            },
        });
        let what = ("authorization", "subjectaccessreviews", "SubjectAccessReview");
        let allowed = review(context, what, spec).await?["allowed"] == true;
        self.decisions.put(key, allowed, now + if allowed { ALLOWED_SECONDS } else { DENIED_SECONDS });
        Ok(allowed)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Asks the API; without its answer nobody is let in.
async fn review(
    context: &Context,
    (group, plural, kind): (&str, &str, &str),
    mut spec: Value,
) -> Result<Value, (StatusCode, String)> {
    meta::fields(&mut spec).retain(|_, value| !value.is_null());
    let group = format!("{group}.k8s.io");
    let object = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
    let resource = Resource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced: false,
        verbs: Vec::new(),
    };
    let answer = context.api.write(&resource, Write::Create { namespace: None, object }).await;
    answer.map(|mut object| object["status"].take()).map_err(|error| {
        tracing::warn!(error = %base::chain(&error), "who asks could not be found out");
        (StatusCode::INTERNAL_SERVER_ERROR, "Authentication or authorization cannot be had".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use base::ManualClock;
    use client::{Api, ApiError, List, Place, Selection, View, Watched};

    use super::*;

    /// Knows one token, whose owner may read figures; counts what it is asked.
    #[derive(Default)]
    struct Reviewer(AtomicUsize);

    #[async_trait]
    impl Api for Reviewer {
        async fn resources(&self) -> Result<Vec<Arc<Resource>>, ApiError> {
            Ok(Vec::new())
        }
        async fn get(&self, _: &Resource, _: &Place, _: View) -> Result<Value, ApiError> {
            Ok(Value::Null)
        }
        async fn list(&self, _: &Resource, _: &Selection, _: View) -> Result<List, ApiError> {
            Ok(List::default())
        }
        async fn watch(&self, _: &Resource, _: &Selection, _: &str, _: View) -> Result<Watched, ApiError> {
            Err(ApiError::Unreachable("no watches".to_owned()))
        }
        async fn write(&self, resource: &Resource, write: Write) -> Result<Value, ApiError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let Write::Create { object, .. } = write else { return Ok(Value::Null) };
            let spec = &object["spec"];
            Ok(match &*resource.plural {
                "tokenreviews" if spec["token"] == "broken" => {
                    return Err(ApiError::Unreachable("away".to_owned()));
                }
                "tokenreviews" if spec["token"] == "good" => {
                    json!({"status": {"authenticated": true, "user": {"username": "u", "groups": ["g"]}}})
                }
                "tokenreviews" => json!({"status": {}}),
                _ => {
                    let asked = &spec["resourceAttributes"];
                    let allowed =
                        asked["subresource"] == "stats" && asked["name"] == "n" && spec["user"] == "u";
                    json!({"status": {"allowed": allowed}})
                }
            })
        }
    }

    const CONFIG: &str = "{version: 1, node: n, address: 127.0.0.1, providerId: x, apiServers: [], \
        apiServerName: s, authority: /a, certificate: /c, key: /k, clusterDns: 10.96.0.10, \
        clusterDomain: c.l, podNetwork: 10.244.0.0/16, serviceNetwork: 10.96.0.0/16, containerd: /s}";

    #[tokio::test]
    async fn the_api_says_who_asks_and_whether_they_may_and_is_not_asked_again_at_once() {
        let api = Arc::new(Reviewer::default());
        let clock = Arc::new(ManualClock::default());
        let config = crate::Config::read(CONFIG).unwrap();
        let (root, logs) = (PathBuf::new(), PathBuf::new());
        let reviewer: Arc<dyn Api> = Arc::clone(&api) as _;
        let context = Context::new(config, reviewer, Arc::clone(&clock) as _, root, logs, false, (0, 0));
        let doors = Doors::default();
        let known = Caller::Known(json!({"username": "u", "groups": []}));
        let check = async |caller: &Caller, token: &str, path: &str| {
            let mut headers = HeaderMap::new();
            if !token.is_empty() {
                headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            }
            let result = doors.check(&context, caller, (&Method::GET, path, &headers)).await;
            result.map_or_else(|(status, _)| status.as_u16(), |()| 200)
        };
        let cases = [
            (&Caller::Server, "", "/exec/a/p/c", 200),
            (&Caller::Unknown, "", "/healthz", 401),
            (&Caller::Unknown, "bad", "/healthz", 401),
            (&Caller::Unknown, "broken", "/healthz", 500),
            (&Caller::Unknown, "good", "/stats/summary", 200),
            (&Caller::Unknown, "good", "/exec/a/p/c", 403),
            (&known, "", "/stats/summary", 200),
        ];
        for (caller, token, path, expected) in cases {
            assert_eq!(check(caller, token, path).await, expected, "{caller:?} {token} {path}");
        }
        let asked = || api.0.load(Ordering::Relaxed);
        let before = asked();
        assert_eq!((check(&Caller::Unknown, "good", "/stats/summary").await, asked()), (200, before));
        clock.advance(std::time::Duration::from_secs(301));
        assert_eq!((check(&Caller::Unknown, "good", "/stats/summary").await, asked()), (200, before + 2));
    }

    #[test]
    fn paths_are_parts_of_the_node() {
        let cases = [
            (Method::GET, "/stats/summary", ("get", vec!["stats"])),
            (Method::GET, "/metrics/resource", ("get", vec!["metrics"])),
            (Method::GET, "/pods", ("get", vec!["pods", "proxy"])),
            (Method::GET, "/healthz", ("get", vec!["healthz", "proxy"])),
            (Method::POST, "/exec/a/p/c", ("create", vec!["proxy"])),
            (Method::GET, "/statsx", ("get", vec!["proxy"])),
        ];
        for (method, path, expected) in cases {
            assert_eq!(asked(&method, path), expected, "{path}");
        }
    }

    #[test]
    fn answers_are_believed_for_a_while() {
        let kept = Kept::default();
        kept.put("a".to_owned(), true, 10);
        assert_eq!([kept.get("a", 9), kept.get("a", 10), kept.get("b", 0)], [Some(true), None, None]);
    }

    #[test]
    fn a_token_stands_behind_its_scheme() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(bearer(&headers), expected, "{header}");
        }
    }
}
