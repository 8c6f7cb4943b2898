//! What a URL asks for: upstream's `RequestInfo`.

use api::selector::FieldSelector;
use hyper::Method;

use crate::http::Query;
use crate::http::query::decode;

/// A request, by its method, path and query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource of the API; otherwise only `path` and `verb` mean something.
    pub is_resource: bool,
    /// The path as it came.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or for
    /// other paths the method in lower case.
    pub verb: &'static str,
    /// `api` or `apis`.
    pub prefix: String,
    /// The API group; empty for core.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The namespace; empty for cluster scope.
    pub namespace: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for collections.
    pub name: String,
    /// What follows the resource, itself included.
    pub parts: Vec<String>,
}

/// A URL that says neither kind nor namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine kind and namespace from url, {0}")]
pub struct Unclear(pub String);

fn take(parts: &mut &[String]) -> String {
    let Some((first, rest)) = parts.split_first() else { return String::new() };
    *parts = rest;
    first.clone()
}

fn lower(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        "CONNECT" => "connect",
        "TRACE" => "trace",
        _ => "",
    }
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

impl RequestInfo {
    /// Takes a URL apart.
    pub fn of(method: &Method, path: &str, query: &Query) -> Result<Self, Unclear> {
        let mut info = Self { path: decode(path, false), verb: lower(method), ..Self::default() };
        let trimmed = path.trim_matches('/');
        let all: Vec<String> = trimmed.split('/').map(|part| decode(part, false)).collect();
        let mut parts = &all[..];
        if parts.len() < 3 || !matches!(parts[0].as_str(), "api" | "apis") {
            return Ok(info);
        }
        info.prefix = take(&mut parts);
        if info.prefix == "apis" {
            if parts.len() < 3 {
                info.prefix.clear();
                return Ok(info);
            }
            info.group = take(&mut parts);
        }
        info.is_resource = true;
        info.version = take(&mut parts);
        let mut by_path = false;
        match parts[0].as_str() {
            special @ ("proxy" | "watch") => {
                if parts.len() < 2 {
                    return Err(Unclear(path.to_owned()));
                }
                info.verb = if special == "watch" { "watch" } else { "proxy" };
                by_path = true;
                take(&mut parts);
            }
            _ => info.verb = verb(method),
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace.clone_from(&parts[1]);
            if parts.len() > 2 && !matches!(parts[2].as_str(), "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        info.parts = parts.to_vec();
        let part = |at: usize| parts.get(at).cloned().unwrap_or_default();
        if !by_path {
            info.subresource = part(2);
        }
        info.name = part(1);
        info.resource = part(0);
        info.of_collection(query);
        Ok(info)
    }

    /// Whether it is a stream, which lasts as long as its client likes.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.verb == "watch"
            || matches!(self.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log")
    }

    /// A read or deletion without a name is one of many objects.
    fn of_collection(&mut self, query: &Query) {
        if !self.name.is_empty() {
            return;
        }
        match self.verb {
            "get" => {
                self.verb = if query.flag("watch") { "watch" } else { "list" };
                let selector = FieldSelector::parse(query.text("fieldSelector")).unwrap_or_default();
                if let Some(name) = selector.exact("metadata.name").filter(|name| is_path_segment(name)) {
                    name.clone_into(&mut self.name);
                }
            }
            "delete" => self.verb = "deletecollection",
            _ => {}
        }
    }
}

/// Whether a name can stand in a path.
fn is_path_segment(name: &str) -> bool {
    !matches!(name, "." | "..") && !name.contains(['/', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: &str, url: &str) -> RequestInfo {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        RequestInfo::of(&method, path, &Query::parse(query)).expect(url)
    }

    fn short(info: &RequestInfo) -> String {
        let RequestInfo { verb, group, version, namespace, resource, subresource, name, .. } = info;
        if !info.is_resource {
            return format!("{verb} path");
        }
        format!("{verb} {group}/{version} ns={namespace} {resource}/{name}/{subresource}")
    }

    #[test]
    fn urls_mean_what_upstream_says_they_mean() {
        let cases = [
            ("GET", "/api/v1/namespaces", "list /v1 ns= namespaces//"),
            ("GET", "/api/v1/namespaces/other", "get /v1 ns=other namespaces/other/"),
            ("PUT", "/api/v1/namespaces/other/finalize", "update /v1 ns=other namespaces/other/finalize"),
            ("GET", "/api/v1/namespaces/other/pods", "list /v1 ns=other pods//"),
            ("GET", "/api/v1/namespaces/other/pods?watch=1", "watch /v1 ns=other pods//"),
            ("GET", "/api/v1/pods?watch=false", "list /v1 ns= pods//"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list /v1 ns= pods/x/"),
            ("HEAD", "/api/v1/nodes/n", "get /v1 ns= nodes/n/"),
            ("POST", "/apis/apps/v1/namespaces/a/deployments", "create apps/v1 ns=a deployments//"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "patch apps/v1 ns=a deployments/d/scale",
            ),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection /v1 ns=a pods//"),
            ("DELETE", "/api/v1/namespaces/a/pods/p", "delete /v1 ns=a pods/p/"),
            ("GET", "/api/v1/namespaces/a/pods/p/proxy/x/y", "get /v1 ns=a pods/p/proxy"),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch /v1 ns=a pods//"),
            ("GET", "/api/v1/watch/namespaces/a/pods/p", "watch /v1 ns=a pods/p/"),
            ("GET", "/api/v1/namespaces/a/pods/p%2Fq", "get /v1 ns=a pods/p/q/"),
            ("GET", "/", "get path"),
            ("GET", "/api", "get path"),
            ("GET", "/api/v1", "get path"),
            ("GET", "/apis/apps/v1", "get path"),
            ("POST", "/healthz", "post path"),
        ];
        for (method, url, expected) in cases {
            assert_eq!(short(&info(method, url)), expected, "{method} {url}");
        }
        let unclear = RequestInfo::of(&Method::GET, "/api/v1/watch", &Query::default());
        assert_eq!(
            unclear.expect_err("unclear").to_string(),
            "unable to determine kind and namespace from url, /api/v1/watch"
        );
    }
}
