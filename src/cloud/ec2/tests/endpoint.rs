//! An AWS endpoint on loopback that says what a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use base::{Clock, ManualClock};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::super::{Ec2, connect};

/// A request's parameters, decoded.
pub(super) type Form = BTreeMap<String, String>;

/// What the endpoint does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Answers.
    Answer { status: u16, body: String },
    /// Reads the request and closes the connection.
    HangUp,
}

type Script = Arc<dyn Fn(&Form) -> Reply + Send + Sync>;

pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Form>>>,
}

impl Endpoint {
    pub(super) async fn saying(script: impl Fn(&Form) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, seen): (Script, _) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), seen.clone());
                let serve = service_fn(move |request| answer(request, script.clone(), seen.clone()));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), serve).await });
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked, in order of arrival.
    pub(super) fn asked(&self) -> Vec<Form> {
        self.asked.lock().unwrap().clone()
    }

    /// The actions asked for, in order of arrival.
    pub(super) fn actions(&self) -> Vec<String> {
        self.asked().iter().map(|form| form["Action"].clone()).collect()
    }

    /// The program's own client on this endpoint; `tries` of each read.
    pub(super) async fn client(&self, tries: u32) -> Ec2 {
        client(&self.url(), tries, Arc::new(ManualClock::default())).await
    }
}

/// The same with a clock for the rate limit.
pub(super) async fn client(url: &str, tries: u32, clock: Arc<dyn Clock>) -> Ec2 {
    let keys = Credentials::new("AKIDEXAMPLE", "no secret", None, None, "test");
    let config = connect::loader(connect::http_client().unwrap(), aws_config::Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .endpoint_url(url)
        .retry_config(aws_config::retry::RetryConfig::standard().with_max_attempts(tries))
        .load()
        .await;
    Ec2::of_config(&config, clock)
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    seen: Arc<Mutex<Vec<Form>>>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let body = request.into_body().collect().await?.to_bytes();
    let form = decode(&String::from_utf8_lossy(&body));
    seen.lock().unwrap().push(form.clone());
    match script(&form) {
        Reply::HangUp => Err("hung up".into()),
        Reply::Answer { status, body } => {
            let mut answer = Response::new(Full::new(Bytes::from(body)));
            *answer.status_mut() = StatusCode::from_u16(status)?;
            Ok::<_, Infallible>(answer).map_err(Into::into)
        }
    }
}

fn decode(body: &str) -> Form {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key), unescape(value))
    };
    body.split('&').map(pair).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// AWS's error document of a service.
pub(super) fn error(service: &str, status: u16, code: &str, message: &str) -> Reply {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let body = match service {
        "sts" => format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"
        ),
        _ => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
             <Message>{message}</Message></Error></Errors><RequestID>req-1</RequestID></Response>"
        ),
    };
    Reply::Answer { status, body }
}

/// A success of EC2's: `inner` within the action's response element.
pub(super) fn success(action: &str, inner: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>req-2</requestId>{inner}</{action}Response>"
    );
    Reply::Answer { status: 200, body }
}
