//! Listens for connections on one address, or on all addresses of IPv6 and IPv4.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

/// Maximum connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens on the address of `host`, or on all addresses: over IPv6 and IPv4 at the same port, or over IPv4 only
/// if the machine has no IPv6. Port 0 selects a free port. Gives the listener and its address. To be called
/// within a runtime.
///
/// # Errors
/// The address that can't be listened on, and the error.
pub fn listen(
    host: Option<IpAddr>,
    port: u16,
) -> Result<(TcpListener, SocketAddr), (SocketAddr, io::Error)> {
    let first = SocketAddr::new(host.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port);
    match open(first) {
        Err(error) if host.is_none() && lacks_ipv6(&error) => {
            let ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            open(ipv4).map_err(|error| (ipv4, error))
        }
        opened => opened.map_err(|error| (first, error)),
    }
}

fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        // The default of the system may differ (net.ipv6.bindv6only).
        set_ipv6_v6only(&socket, false)?;
        socket
    } else {
        TcpSocket::new_v4()?
    };
    // After a restart, connections of the previous process may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Whether the machine has no IPv6, or no dual-stack sockets. An address in use doesn't mean that.
fn lacks_ipv6(error: &io::Error) -> bool {
    [
        Errno::AFNOSUPPORT,
        Errno::ADDRNOTAVAIL,
        Errno::NOPROTOOPT,
        Errno::PROTONOSUPPORT,
    ]
    .iter()
    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn ipv4_only_is_for_machines_without_ipv6() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(lacks_ipv6(&error(Errno::AFNOSUPPORT)));
        assert!(lacks_ipv6(&error(Errno::ADDRNOTAVAIL)));
        assert!(!lacks_ipv6(&error(Errno::ADDRINUSE)));
        assert!(!lacks_ipv6(&error(Errno::ACCESS)));
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv6_and_ipv4() {
        let (_listener, address) = listen(None, 0).unwrap();
        for host in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let connected = TcpStream::connect((host, address.port()));
            assert!(
                connected.is_ok() || host.is_ipv6() && address.is_ipv4(),
                "{host}: {connected:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_given_address_is_the_only_one() {
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (_listener, address) = listen(Some(host), 0).unwrap();
        assert_eq!(address.ip(), host);
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).is_err());
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_and_not_a_lack_of_ipv6() {
        let (_listener, address) = listen(None, 0).unwrap();
        let (refused, error) = listen(None, address.port()).unwrap_err();
        assert_eq!(
            (refused.port(), error.kind()),
            (address.port(), io::ErrorKind::AddrInUse)
        );
    }
}
