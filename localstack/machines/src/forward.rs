//! Connections to one address handed on to another: a page of the machines on this one's loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time.
const AT_ONCE: usize = 256;

/// Hands on until the process ends.
pub(crate) async fn forward(listen: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let (mut from, _) = listener.accept().await.context("take a connection")?;
        tokio::spawn(async move {
            let _permit = permit;
            match TcpStream::connect(to).await {
                // How either side ended is theirs to know.
                Ok(mut there) => drop(tokio::io::copy_bidirectional(&mut from, &mut there).await),
                Err(error) => tracing::warn!(%to, %error, "cannot connect"),
            }
        });
    }
}
