//! What every attacker has: an address of its own, and a place behind all others at the processors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// Attackers have machines of their own elsewhere. Here they run after the server and the clients that
/// behave, or those would wait for a processor and not for the server.
pub(crate) const NICE: i32 = 10;

/// Number of addresses of the attackers: 127.0.0.1, and those from 127.0.0.3 on. The client that behaves has 127.0.0.2.
const SOURCES: u8 = 38;

/// Opens a connection from one of the attackers' addresses that leaves nothing behind when it is closed: the
/// ports of tens of thousands that wait for their last packets would run out.
///
/// # Errors
///
/// Where the server, or this machine, takes no more.
pub(crate) async fn connect(
    address: SocketAddr,
    source: u8,
    receive_bytes: Option<u32>,
) -> std::io::Result<TcpStream> {
    let last = match source % SOURCES {
        0 => 1,
        other => other + 2,
    };
    let socket = TcpSocket::new_v4()?;
    socket.set_zero_linger()?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
