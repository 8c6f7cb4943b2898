//! Asking containers whether they are well, each probe in a task of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::meta;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use pods::Startup;
use pods::probe::{Count, Which};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::context::Context;

/// The most of an answer that is read.
const ANSWER: usize = 10 * 1024;

/// The probes of one pod's running containers.
#[derive(Default)]
pub(crate) struct Probes {
    state: Arc<Mutex<BTreeMap<String, Startup>>>,
    tasks: BTreeMap<String, JoinSet<()>>,
}

impl Probes {
    /// How each running container is; its probes begin when it is first named here.
    pub(crate) fn of(
        &mut self,
        context: &Arc<Context>,
        pod: &Arc<Value>,
        running: &[(String, String)],
        ip: &str,
        changed: &Arc<Notify>,
    ) -> BTreeMap<String, Startup> {
        self.tasks.retain(|id, _| running.iter().any(|(running, _)| running == id));
        lock(&self.state).retain(|id, _| running.iter().any(|(running, _)| running == id));
        for (id, name) in running {
            if self.tasks.contains_key(id) {
                continue;
            }
            let found = pods::containers(pod).find(|(_, spec)| spec["name"] == name.as_str());
            let Some((kind, spec)) = found else { continue };
            let has = |which: Which| kind != pods::Kind::Init && spec[which.field()].is_object();
            let startup =
                Startup { started: !has(Which::Startup), ready: !has(Which::Readiness), failed: false };
            lock(&self.state).insert(id.clone(), startup);
            let mut tasks = JoinSet::new();
            for which in Which::ALL.into_iter().filter(|which| has(*which)) {
                let asked = Asked {
                    context: Arc::clone(context),
                    pod: Arc::clone(pod),
                    spec: spec.clone(),
                    id: id.clone(),
                    ip: ip.to_owned(),
                    which,
                };
                let (state, changed) = (Arc::clone(&self.state), Arc::clone(changed));
                tasks.spawn(async move { asked.run(&state, &changed).await });
            }
            self.tasks.insert(id.clone(), tasks);
        }
        lock(&self.state).clone()
    }
}

fn lock(state: &Mutex<BTreeMap<String, Startup>>) -> std::sync::MutexGuard<'_, BTreeMap<String, Startup>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Asked {
    context: Arc<Context>,
    pod: Arc<Value>,
    spec: Value,
    id: String,
    ip: String,
    which: Which,
}

impl Asked {
    async fn run(&self, state: &Mutex<BTreeMap<String, Startup>>, changed: &Notify) {
        let probe = &self.spec[self.which.field()];
        let seconds =
            |field: &str, default: u64| Duration::from_secs(probe[field].as_u64().unwrap_or(default));
        self.context.clock.sleep(seconds("initialDelaySeconds", 0)).await;
        let mut count = Count::default();
        loop {
            let held_back = self.which != Which::Startup && !self.look(state).started;
            if !held_back {
                let result = ask(&self.context, &self.id, &self.spec, probe, &self.ip).await;
                if let Err(why) = &result {
                    let message = format!("{} probe failed: {why}", self.which.word());
                    let name = meta::str_at(&self.spec, "name");
                    self.context
                        .event(&self.pod, true, "Unhealthy", &message, Some(("containers", name)))
                        .await;
                }
                if let Some(verdict) = count.take(probe, result.is_ok())
                    && self.judge(state, verdict)
                {
                    changed.notify_one();
                }
                if self.which == Which::Startup && self.look(state).started {
                    return;
                }
            }
            self.context.clock.sleep(seconds("periodSeconds", 10)).await;
        }
    }

    fn look(&self, state: &Mutex<BTreeMap<String, Startup>>) -> Startup {
        lock(state).get(&self.id).copied().unwrap_or_default()
    }

    /// Notes a verdict; whether it changes anything.
    fn judge(&self, state: &Mutex<BTreeMap<String, Startup>>, good: bool) -> bool {
        let mut state = lock(state);
        let Some(startup) = state.get_mut(&self.id) else { return false };
        let before = *startup;
        match (self.which, good) {
            (Which::Startup, true) => startup.started = true,
            (Which::Readiness, good) => startup.ready = good,
            (Which::Startup | Which::Liveness, false) => startup.failed = true,
            (Which::Liveness, true) => {}
        }
        *startup != before
    }
}

/// Asks once: a probe, or a hook of the same form.
pub(crate) async fn ask(
    context: &Context,
    id: &str,
    spec: &Value,
    how: &Value,
    ip: &str,
) -> Result<(), String> {
    let limit = Duration::from_secs(how["timeoutSeconds"].as_u64().unwrap_or(1));
    if how["exec"].is_object() {
        let command =
            meta::list_at(how, "exec.command").iter().filter_map(|word| word.as_str().map(str::to_owned));
        let answer = context.cri.exec(id, command.collect(), limit).await.map_err(|error| {
            if error.code == tonic::Code::DeadlineExceeded {
                format!("command timed out after {}s", limit.as_secs())
            } else {
                error.message
            }
        })?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        let said = [answer.stdout, answer.stderr].concat();
        return Err(String::from_utf8_lossy(&said[..said.len().min(ANSWER)]).into_owned());
    }
    let (kind, field) = if how["httpGet"].is_object() {
        ("httpGet", &how["httpGet"])
    } else {
        ("tcpSocket", &how["tcpSocket"])
    };
    let port = port(spec, &field["port"]).ok_or_else(|| format!("no port is named {}", field["port"]))?;
    let host = field["host"].as_str().filter(|host| !host.is_empty()).unwrap_or(ip);
    let address: SocketAddr =
        format!("{host}:{port}").parse().map_err(|_| format!("{host} is no address"))?;
    let connect = TcpStream::connect(address);
    let failed = |error: std::io::Error| format!("dial tcp {address}: {error}");
    let late = |what: &str| format!("{what} {address}: no answer within {}s", limit.as_secs());
    if kind == "tcpSocket" {
        return timeout(limit, connect).await.map_err(|_| late("dial tcp"))?.map(drop).map_err(failed);
    }
    let work = async {
        let stream = connect.await.map_err(failed)?;
        let url = format!("http://{address}{}", field["path"].as_str().unwrap_or("/"));
        http(stream, &url, field, address).await.map_err(|error| format!("Get \"{url}\": {error}"))
    };
    let status = timeout(limit, work).await.map_err(|_| late("Get"))??;
    if (200..400).contains(&status) {
        return Ok(());
    }
    Err(format!("HTTP probe failed with statuscode: {status}"))
}

async fn http(stream: TcpStream, url: &str, field: &Value, address: SocketAddr) -> Result<u16, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // A server that closes at once has often answered before: the answer counts, not the end.
    let driver = tokio::spawn(connection);
    let result = async {
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let mut request = Request::get(format!("/{path}"));
        let headers = meta::list_at(field, "httpHeaders");
        let named =
            |name: &str| headers.iter().any(|one| meta::str_at(one, "name").eq_ignore_ascii_case(name));
        if !named("host") {
            request = request.header("host", address.to_string());
        }
        if !named("user-agent") {
            request = request.header("user-agent", "kube-probe/1.37");
        }
        for header in headers {
            request = request.header(meta::str_at(header, "name"), meta::str_at(header, "value"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| base::chain(&error))?;
        let status = answer.status().as_u16();
        // What follows is read so that the server is not cut off, up to a bound.
        let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
        Ok(status)
    }
    .await;
    driver.abort();
    result
}

fn port(spec: &Value, port: &Value) -> Option<u16> {
    let number = match port {
        Value::String(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                let named = meta::list_at(spec, "ports").iter().find(|one| one["name"] == name.as_str());
                named.and_then(|one| one["containerPort"].as_i64())
            }
        },
        port => port.as_i64(),
    };
    u16::try_from(number?).ok()
}
