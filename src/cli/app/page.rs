//! Where a Service is reached from outside the cluster, and whether a page is there.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::cli::reach::Reach;

/// For a page to answer after its pods are ready: rules reach every node, a load balancer's status is written.
const PATIENCE: Duration = Duration::from_secs(30);
const ONE_TRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);
const PAGE_BYTES: u64 = 1024 * 1024;

/// What was found under a Service's address.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// It answers: its URL, the status, the size of the page.
    Answers(String, u16, usize),
    /// It does not; why.
    Silent(String, String),
    /// It is reached from inside the cluster only.
    Inside,
}

/// Fetches the page that a Service leads to.
pub(crate) async fn of_service(reach: &Reach, path: &str) -> anyhow::Result<Found> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let service = reach.get(path).await?;
        let found = match where_it_is(&service, &reach.workers()) {
            None => return Ok(Found::Inside),
            Some(Err(why)) => Found::Silent(String::new(), why),
            Some(Ok((address, port))) => {
                let url = if port == 80 {
                    format!("http://{address}/")
                } else {
                    format!("http://{address}:{port}/")
                };
                match timeout(ONE_TRY, fetch(address, port)).await {
                    Ok(Ok((status, bytes))) if status < 500 => return Ok(Found::Answers(url, status, bytes)),
                    Ok(Ok((status, _))) => Found::Silent(url, format!("it answers with status {status}")),
                    Ok(Err(error)) => Found::Silent(url, error.to_string()),
                    Err(_) => Found::Silent(url, format!("no answer within {} s", ONE_TRY.as_secs())),
                }
            }
        };
        if Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Address and port of a Service from outside; none for one that is inside only.
fn where_it_is(service: &Value, workers: &[Ipv4Addr]) -> Option<Result<(Ipv4Addr, u64), String>> {
    let port = service["spec"]["ports"].as_array()?.first()?;
    let worker = workers.first().copied().ok_or_else(|| "no worker runs".to_owned());
    match service["spec"]["type"].as_str()? {
        "LoadBalancer" => {
            let listed =
                service["status"]["loadBalancer"]["ingress"].as_array().is_some_and(|all| !all.is_empty());
            if !listed {
                let number = port["port"].as_u64().unwrap_or(0);
                return Some(Err(format!(
                    "no worker answers on port {number}: access.servicePorts of cluster.yaml must list it, and no other Service may have it"
                )));
            }
            Some(worker.map(|address| (address, port["port"].as_u64().unwrap_or(0))))
        }
        "NodePort" => Some(worker.map(|address| (address, port["nodePort"].as_u64().unwrap_or(0)))),
        _ => None,
    }
}

async fn fetch(address: Ipv4Addr, port: u64) -> std::io::Result<(u16, usize)> {
    let mut stream = TcpStream::connect(format!("{address}:{port}")).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: cluster\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(PAGE_BYTES).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    match status.filter(|_| text.starts_with("HTTP/1.")) {
        Some(status) => Ok((status, body)),
        None => Err(std::io::Error::other("it answers, but not in HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_known_when_workers_answer_there() {
        let workers = [Ipv4Addr::new(192, 0, 2, 9)];
        let service = |kind: &str, status: Value| json!({"spec": {"type": kind, "ports": [{"port": 80, "nodePort": 30080}]}, "status": status});
        let listed = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}});
        assert_eq!(where_it_is(&service("LoadBalancer", listed), &workers), Some(Ok((workers[0], 80))));
        assert_eq!(where_it_is(&service("NodePort", json!({})), &workers), Some(Ok((workers[0], 30080))));
        assert_eq!(where_it_is(&service("ClusterIP", json!({})), &workers), None);
        let why = where_it_is(&service("LoadBalancer", json!({})), &workers).unwrap().unwrap_err();
        assert!(why.contains("access.servicePorts"), "{why}");
    }
}
