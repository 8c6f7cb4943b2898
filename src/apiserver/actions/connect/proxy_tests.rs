//! Where names lead, and what becomes of paths, redirects and headers.

use hyper::Method;
use serde_json::json;

use super::*;
use crate::http::Query;

#[test]
fn names_say_scheme_and_port_besides() {
    let cases = [
        ("web", Some((false, "web", ""))),
        ("web:80", Some((false, "web", "80"))),
        ("http:web:www", Some((false, "web", "www"))),
        ("https:web:", Some((true, "web", ""))),
        ("ftp:web:21", None),
        (":80", None),
        ("a:b:c:d", None),
    ];
    for (text, expected) in cases {
        let expected = expected.map(|(https, name, port)| Named { https, name, port });
        assert_eq!(Named::read(text), expected, "{text}");
    }
}

fn place(path: &str) -> Place {
    Place::of(&RequestInfo::of(&Method::GET, path, &Query::default()).unwrap())
}

#[test]
fn what_follows_proxy_is_the_path_behind_it() {
    const POD: &str = "/api/v1/namespaces/a/pods/p/proxy";
    const NODE: &str = "/api/v1/nodes/n/proxy";
    let cases = [
        (POD, "", ""),
        (POD, "/", "/"),
        (POD, "/x/y", "/x/y"),
        (POD, "/x/", "/x/"),
        (POD, "/a%20b", "/a b"),
        (NODE, "/metrics", "/metrics"),
    ];
    for (prefix, rest, path) in cases {
        let expected = Place { path: path.to_owned(), prefix: prefix.to_owned() };
        assert_eq!(place(&format!("{prefix}{rest}")), expected, "{prefix}{rest}");
    }
    assert_eq!(escaped("/a b/ü:1"), "/a%20b/%C3%BC:1");
}

#[test]
fn redirects_to_the_same_host_stay_behind_the_proxy() {
    let place = place("/api/v1/namespaces/a/pods/p/proxy/x");
    let cases = [
        ("/y", "/api/v1/namespaces/a/pods/p/proxy/y"),
        ("http://10.0.0.1:80/y?z", "/api/v1/namespaces/a/pods/p/proxy/y?z"),
        ("http://api:6443", "/api/v1/namespaces/a/pods/p/proxy"),
        ("//10.0.0.1:80/", "/api/v1/namespaces/a/pods/p/proxy/"),
        ("/api/v1/namespaces/a/pods/p/proxy/z", "/api/v1/namespaces/a/pods/p/proxy/z"),
        ("y", "y"),
        ("https://example.com/y", "https://example.com/y"),
    ];
    for (told, expected) in cases {
        assert_eq!(place.location(told, ["10.0.0.1:80", "api:6443"]), expected, "{told}");
    }
}

#[test]
fn headers_of_one_connection_go_no_further() {
    let mut headers = HeaderMap::new();
    for (name, value) in [("connection", "x-own, close"), ("x-own", "1"), ("te", "trailers"), ("x-kept", "1")]
    {
        headers.append(name, HeaderValue::from_static(value));
    }
    strip(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
}

#[test]
fn endpoints_are_ready_pods_with_the_ports_number() {
    let endpoint = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "p"}});
    let slice = json!({
        "ports": [{"name": "www", "port": 8080}],
        "endpoints": [endpoint("10.0.0.1", true), endpoint("10.0.0.2", false), {"addresses": ["10.0.0.3"]}],
    });
    let found = Endpoint { address: "10.0.0.1".to_owned(), port: "8080".to_owned(), pod: "p".to_owned() };
    assert_eq!(endpoints(&slice, "www"), [found]);
    assert_eq!(endpoints(&slice, ""), []);
}

#[test]
fn this_host_and_its_link_are_no_machines() {
    for (address, expected) in
        [("10.0.0.1", true), ("127.0.0.1", false), ("169.254.169.254", false), ("224.0.0.1", false)]
    {
        assert_eq!(is_machine(address.parse().unwrap()), expected, "{address}");
    }
}
