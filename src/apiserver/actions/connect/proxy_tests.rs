//! Where names lead, and what becomes of paths, redirects and headers.

use std::sync::Arc;

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::http::Query;
use crate::http::serve::{Service, serve};

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

/// A server in front of one target.
struct Front {
    server: Arc<Server>,
    target: Target,
}

impl Service for Front {
    async fn call(self: Arc<Self>, request: crate::http::Request) -> Response {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::of(&parts.method, parts.uri.path(), &query).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut exchange = Exchange::new(parts.method, info, query, parts.headers, body, now);
        exchange.extensions = parts.extensions;
        exchange.extensions.insert(parts.uri);
        let permit = self.server.limits.tunnel(&exchange.user).unwrap();
        let place = Place::of(&exchange.info);
        let passed = pass(&self.server, &exchange, &self.target, &place, permit).await;
        passed.unwrap_or_else(|refusal| respond::text(refusal.0.code, refusal.0.message.clone()))
    }
}

/// Sends bytes to `address` and reads until `end` has come.
async fn talk(stream: &mut TcpStream, say: &str, end: &str) -> String {
    stream.write_all(say.as_bytes()).await.unwrap();
    let mut heard = String::new();
    while !heard.contains(end) {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "it ended with {heard:?}");
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    heard
}

#[tokio::test]
async fn requests_and_upgrades_pass_and_what_cannot_be_reached_is_said() {
    let fixture = crate::tests::Fixture::start().await;
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = behind.local_addr().unwrap().port();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target::open("127.0.0.1", &port.to_string(), false);
    let front = Arc::new(Front { server: Arc::clone(&fixture.server), target });
    let serving = tokio::spawn(serve(listener, None, front, fixture.server.shutdown.clone()));
    const PROXY: &str = "/api/v1/namespaces/a/services/s/proxy";

    let mut client = TcpStream::connect(address).await.unwrap();
    let ask = format!(
        "POST {PROXY}/x%20y?q=%2F HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer secret\r\nContent-Length: 3\r\n\r\nfoo"
    );
    let answer = "HTTP/1.1 302 Found\r\nLocation: /z\r\nContent-Length: 3\r\nKeep-Alive: 5\r\n\r\nbar";
    let script = async {
        let (mut stream, _) = behind.accept().await.unwrap();
        let heard = talk(&mut stream, "", "foo").await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        heard
    };
    let (asked, answered) = tokio::join!(script, talk(&mut client, &ask, "bar"));
    assert!(asked.starts_with("POST /x%20y?q=%2F HTTP/1.1\r\n"), "{asked}");
    for (header, there) in [
        ("host: api\r\n", true),
        ("x-forwarded-for: 127.0.0.1\r\n", true),
        ("x-forwarded-uri: /api/v1/namespaces/a/services/s/proxy/x%20y\r\n", true),
        ("secret", false),
    ] {
        assert_eq!(asked.contains(header), there, "{header} in {asked}");
    }
    assert!(answered.contains(&format!("location: {PROXY}/z\r\n")), "{answered}");
    assert!(!answered.contains("keep-alive"), "{answered}");

    let ask = format!("GET {PROXY}/ws HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let script = async {
        let (mut stream, _) = behind.accept().await.unwrap();
        let heard = talk(&mut stream, "", "\r\n\r\n").await;
        assert!(heard.contains("upgrade: echo\r\n"), "{heard}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        talk(&mut stream, "", "ping").await;
        stream.write_all(b"pong").await.unwrap();
        stream
    };
    let through = async {
        let answered = talk(&mut client, &ask, "\r\n\r\n").await;
        assert!(answered.starts_with("HTTP/1.1 101 "), "{answered}");
        talk(&mut client, "ping", "pong").await
    };
    let (mut stream, _) = tokio::join!(script, through);

    drop(behind);
    let mut other = TcpStream::connect(address).await.unwrap();
    let ask = format!("GET {PROXY}/ HTTP/1.1\r\nHost: api\r\n\r\n");
    let expected =
        format!("error trying to reach service: dial tcp 127.0.0.1:{port}: connect: connection refused");
    talk(&mut other, &ask, &expected).await;

    // The tunnel ends with the server, and with that both of its sides.
    fixture.stop().await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    serving.await.unwrap();
}
