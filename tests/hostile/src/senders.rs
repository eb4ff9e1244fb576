//! Senders of hostile bodies over regular connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

use crate::attacker::connect;
use crate::bodies::{Generator, Hostile};
use crate::pace::Pace;
use crate::tally::{Came, Tally, What};

/// Number of streams of an HTTP/2 connection.
pub(crate) const STREAMS: [(); 8] = [(); 8];

/// Timeout of a response: more than the server's own request timeout.
const PATIENCE: Duration = Duration::from_secs(10);

/// Delay before another attempt to connect.
const AGAIN: Duration = Duration::from_millis(50);

/// Maximum bytes of a response header.
const MAX_HEAD: usize = 16_384;

/// Sends one body after another over HTTP/1.
pub(crate) async fn over_http1(
    address: SocketAddr,
    mut generator: Generator,
    pace: Arc<Pace>,
    tally: Arc<Tally>,
) {
    while !pace.is_over(Instant::now()) {
        let Ok(mut stream) = connect(address, 0, None).await else {
            sleep(AGAIN).await;
            continue;
        };
        while let Some(due) = pace.next(Instant::now()) {
            sleep_until(due.into()).await;
            let hostile = generator.next();
            let exchange = timeout(PATIENCE, exchange(&mut stream, &hostile)).await;
            let (came, stays_open) = match exchange {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => (Came::Closed, false),
                Err(_) => (Came::Nothing, false),
            };
            tally.add(What::Http1, hostile.kind.name(), came);
            if !stays_open {
                break;
            }
        }
    }
}

/// The result, and whether the connection accepts another request.
async fn exchange(stream: &mut TcpStream, hostile: &Hostile) -> io::Result<(Came, bool)> {
    let mut request = format!("POST {} HTTP/1.1\r\nhost: x\r\n", hostile.path);
    for (name, value) in &hostile.headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    let length = hostile.body.len() + hostile.missing;
    request.push_str(&format!("content-length: {length}\r\n\r\n"));
    let mut request = request.into_bytes();
    request.extend(&hostile.body);
    // A server may close before it has read everything. Its response is still read.
    let written = stream.write_all(&request).await;
    if hostile.missing > 0 {
        let _closed = stream.shutdown().await;
    }
    let (status, stays_open) = answer(stream).await?;
    Ok((
        Came::Status(status),
        stays_open && written.is_ok() && hostile.missing == 0,
    ))
}

async fn answer(stream: &mut TcpStream) -> io::Result<(u16, bool)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > MAX_HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let Some(Head {
        status,
        length,
        close,
    }) = bytes.get(..head).and_then(read_head)
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut left = (head + length).saturating_sub(bytes.len());
    while left > 0 {
        bytes.clear();
        let read = stream.read_buf(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(read);
    }
    Ok((status, !close))
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    length: usize,
    close: bool,
}

/// Reads a response whose body has a length.
fn read_head(head: &[u8]) -> Option<Head> {
    let head = str::from_utf8(head).ok()?.to_ascii_lowercase();
    let (first, fields) = head.split_once("\r\n")?;
    let status = first.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let field = |name| {
        let mut fields = fields.lines().filter_map(|line| line.split_once(':'));
        fields
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.trim())
    };
    Some(Head {
        status,
        length: field("content-length")?.parse().ok()?,
        close: field("connection") == Some("close"),
    })
}

/// Sends bodies over HTTP/2, including gRPC, on several streams of a connection.
pub(crate) async fn over_http2<const COUNT: usize>(
    address: SocketAddr,
    mut generators: [Generator; COUNT],
    pace: Arc<Pace>,
    tally: Arc<Tally>,
) {
    while !pace.is_over(Instant::now()) {
        let Ok(stream) = connect(address, 0, None).await else {
            sleep(AGAIN).await;
            continue;
        };
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let Ok((sender, connection)) = handshake else {
            sleep(AGAIN).await;
            continue;
        };
        let connection = tokio::spawn(connection);
        let streams = generators.iter_mut().map(|generator| {
            let (sender, pace, tally) = (sender.clone(), &pace, &tally);
            stream_of(sender, generator, pace, tally)
        });
        join_all(streams).await;
        connection.abort();
    }
}

async fn stream_of(
    mut sender: http2::SendRequest<Full<Bytes>>,
    generator: &mut Generator,
    pace: &Pace,
    tally: &Tally,
) {
    while sender.ready().await.is_ok()
        && let Some(due) = pace.next(Instant::now())
    {
        sleep_until(due.into()).await;
        let hostile = generator.next();
        let kind = hostile.kind.name();
        let came = match request(hostile) {
            Some(request) => match timeout(PATIENCE, send(&mut sender, request)).await {
                Ok(came) => came.unwrap_or(Came::Closed),
                Err(_) => Came::Nothing,
            },
            None => Came::Refused,
        };
        tally.add(What::Http2, kind, came);
    }
}

/// `None` if the library rejects it.
fn request(hostile: Hostile) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::post(format!("http://x{}", hostile.path));
    for (name, value) in hostile.headers {
        request = request.header(name, value);
    }
    if hostile.missing > 0 {
        request = request.header(CONTENT_LENGTH, hostile.body.len() + hostile.missing);
    }
    request.body(Full::new(hostile.body)).ok()
}

async fn send(
    sender: &mut http2::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Came> {
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let code = grpc_code(answer.headers());
    let body = answer.into_body().collect().await?;
    let code = code.or_else(|| grpc_code(body.trailers()?));
    Ok(code.map_or(Came::Status(status), Came::Grpc))
}

fn grpc_code(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_answers_tell_status_length_and_whether_more_may_come() {
        let head =
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        let expected = Head {
            status: 429,
            length: 12,
            close: true,
        };
        assert_eq!(read_head(head), Some(expected));
        let open = read_head(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(open.map(|head| head.close), Some(false));
        for other in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1\r\n\r\n",
            b"\xff\r\n\r\n",
        ] {
            assert_eq!(read_head(other), None);
        }
    }
}
