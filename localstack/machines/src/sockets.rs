//! Sockets that belong to the router's namespace, opened by a thread that enters
//! it for that and ends.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::names;
use crate::net;

/// What the router listens on.
pub(crate) struct Sockets {
    /// Instance metadata.
    pub(crate) metadata: TcpListener,
    /// The apt mirror.
    pub(crate) mirror: TcpListener,
    /// Names.
    pub(crate) resolver: UdpSocket,
}

/// Opens them all, not blocking, as tokio wants them.
///
/// # Errors
/// When the namespace cannot be entered or an address is in use.
pub(crate) fn open() -> io::Result<Sockets> {
    let opener = thread::Builder::new().name("router-sockets".to_owned()).spawn(open_inside)?;
    opener.join().unwrap_or_else(|_| Err(io::Error::other("the thread that opens sockets panicked")))
}

fn open_inside() -> io::Result<Sockets> {
    let namespace = File::open(net::router_path())?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let listen = |address: Ipv4Addr, port: u16| -> io::Result<TcpListener> {
        let listener = TcpListener::bind((address, port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let resolver = UdpSocket::bind((names::RESOLVER, 53))?;
    resolver.set_nonblocking(true)?;
    Ok(Sockets {
        metadata: listen(names::METADATA, 80)?,
        mirror: listen(names::MIRROR, names::MIRROR_PORT)?,
        resolver,
    })
}
