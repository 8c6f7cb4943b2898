//! A way to a server that can lose its answers: what clients send arrives, what comes back does
//! not, and the connection breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(super) struct Proxy {
    url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    deaf: AtomicBool,
    cut: Notify,
}

impl Proxy {
    /// Leads to a port of this machine.
    pub(super) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(pass(client, port, Arc::clone(&state)));
                }
            }
        });
        Self { url, state, accepting }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on answers are lost.
    pub(super) fn lose_answers(&self) {
        self.state.deaf.store(true, Ordering::SeqCst);
    }

    /// Breaks all connections; new ones work again.
    pub(super) fn cut(&self) {
        self.state.deaf.store(false, Ordering::SeqCst);
        self.state.cut.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass(client: TcpStream, port: u16, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let lost = state.deaf.load(Ordering::SeqCst);
            if !lost && to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        () = state.cut.notified() => {}
    }
}
