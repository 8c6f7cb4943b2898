//! The DNS sockets: answers of our own at once, others' fetched from the machine's resolvers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::Shutdown;
use proxy::Services;
use proxy::dns::{Reply, reply, unreachable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long another server may take, and a client that says nothing.
const PATIENCE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
/// Questions under way at a time: what is more is not heard, and asked again.
const AT_ONCE: usize = 1024;
const LARGEST: usize = 4096;

/// What names are answered from.
pub(crate) type Known = Arc<RwLock<Services>>;

struct Resolver {
    known: Known,
    domain: String,
    /// The machine's own resolvers.
    others: Vec<SocketAddr>,
    room: Arc<Semaphore>,
}

/// Answers on `address` until stopped.
pub(crate) async fn serve(
    address: Ipv4Addr,
    domain: String,
    known: Known,
    shutdown: Shutdown,
) -> io::Result<()> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let others =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok());
    // Asking ourselves would go round for ever.
    let others =
        others.filter(|other| *other != address).map(|other| SocketAddr::from((other, 53))).collect();
    let resolver = Arc::new(Resolver { known, domain, others, room: Arc::new(Semaphore::new(AT_ONCE)) });
    let udp = Arc::new(UdpSocket::bind((address, 53)).await?);
    let tcp = TcpListener::bind((address, 53)).await?;
    tokio::select! {
        () = shutdown.triggered() => Ok(()),
        result = datagrams(&resolver, &udp) => result,
        result = streams(&resolver, &tcp) => result,
    }
}

async fn datagrams(resolver: &Arc<Resolver>, socket: &Arc<UdpSocket>) -> io::Result<()> {
    let mut buffer = vec![0; LARGEST];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let message = buffer[..length].to_vec();
        let ours = resolver.own(&message, true);
        match ours {
            Reply::Ignore => {}
            Reply::Send(answer) => drop(socket.send_to(&answer, from).await),
            Reply::Forward => {
                let Ok(permit) = Arc::clone(&resolver.room).try_acquire_owned() else { continue };
                let (resolver, socket) = (Arc::clone(resolver), Arc::clone(socket));
                tokio::spawn(async move {
                    let answer = resolver.others(&message, true).await;
                    let _ = socket.send_to(&answer, from).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn streams(resolver: &Arc<Resolver>, listener: &TcpListener) -> io::Result<()> {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(permit) = Arc::clone(&resolver.room).try_acquire_owned() else { continue };
        let resolver = Arc::clone(resolver);
        tokio::spawn(async move {
            let _ = conversation(&resolver, stream).await;
            drop(permit);
        });
    }
}

async fn conversation(resolver: &Resolver, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let message = timeout(IDLE, framed(&mut stream)).await??;
        let answer = match resolver.own(&message, false) {
            Reply::Ignore => return Ok(()),
            Reply::Send(answer) => answer,
            Reply::Forward => resolver.others(&message, false).await,
        };
        send(&mut stream, &answer).await?;
    }
}

async fn framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    stream.write_u16(length).await?;
    stream.write_all(&message[..usize::from(length)]).await
}

impl Resolver {
    fn own(&self, message: &[u8], udp: bool) -> Reply {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        reply(&known, &self.domain, message, udp)
    }

    /// The first answer that one of the machine's resolvers gives.
    async fn others(&self, message: &[u8], udp: bool) -> Vec<u8> {
        for other in &self.others {
            let asked = timeout(PATIENCE, async {
                if udp {
                    self.by_datagram(*other, message).await
                } else {
                    self.by_stream(*other, message).await
                }
            });
            if let Ok(Ok(answer)) = asked.await {
                return answer;
            }
        }
        unreachable(message)
    }

    async fn by_datagram(&self, other: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(other).await?;
        socket.send(message).await?;
        let mut buffer = vec![0; LARGEST];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // Another question's answer is none of this one.
            if buffer[..length].get(..2) == message.get(..2) {
                return Ok(buffer[..length].to_vec());
            }
        }
    }

    async fn by_stream(&self, other: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(other).await?;
        send(&mut stream, message).await?;
        framed(&mut stream).await
    }
}
