//! Common code of attackers: their addresses and their scheduling priority.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// Lowers the priority of this thread. Real attackers have their own machines. Here they must not take processor time
/// from the server and the well-behaved clients.
pub(crate) const NICE: i32 = 10;

/// Number of addresses of the attackers: 127.0.0.1, and those from 127.0.0.3 on. The well-behaved client has 127.0.0.2.
const SOURCES: u8 = 38;

/// Opens a connection from one of the attackers' addresses. It is closed without the state `TIME_WAIT`, because tens of
/// thousands of these would exhaust the ports.
///
/// # Errors
///
/// If the server or this machine accepts no further connection.
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
