//! A website from which pods fetch a model: one file, and a second path that is unavailable at first and later
//! redirects to the file.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::Cluster;

/// Path of the model.
pub const MODEL: &str = "/model.onnx";

/// Path whose first response is 503, and then a redirect to the model.
pub const LATEST: &str = "/latest.onnx";

/// Maximum number of connections: several times those of a test.
const CONNECTIONS_LIMIT: usize = 100;

/// Maximum time of a connection. The next one waits for it.
const CONNECTION_TIME_LIMIT: Duration = Duration::from_secs(5);

/// A website that is closed when this is dropped.
#[derive(Debug)]
pub struct Website {
    address: SocketAddr,
    answers: watch::Receiver<Vec<StatusCode>>,
    _serving: JoinSet<()>,
}

impl Website {
    /// Opens a website with this model, at the address by which the nodes of the cluster reach this process.
    ///
    /// # Errors
    ///
    /// If no node has an address, or if there is no route to it.
    pub async fn open(cluster: &Cluster, model: Vec<u8>) -> Result<Self> {
        Self::open_at(own_address(cluster.node_address().await?).await?, model).await
    }

    async fn open_at(address: IpAddr, model: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, answers) = watch::channel(Vec::new());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, model.into(), sender));
        Ok(Self {
            address,
            answers,
            _serving: serving,
        })
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The responses so far.
    #[must_use]
    pub fn answers(&self) -> Vec<StatusCode> {
        self.answers.borrow().clone()
    }
}

/// The local address of a route to `peer`. No packet is sent.
async fn own_address(peer: IpAddr) -> Result<IpAddr> {
    // An address of the peer's family. The port has no effect.
    let any = match peer {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect((peer, 9)).await?;
    Ok(socket.local_addr()?.ip())
}

async fn serve(listener: TcpListener, model: Bytes, answers: watch::Sender<Vec<StatusCode>>) {
    for _ in 0..CONNECTIONS_LIMIT {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let service = service_fn(async |request: Request<Incoming>| {
            let response = answer(request.uri().path(), &answers.borrow(), &model);
            answers.send_modify(|answers| answers.push(response.status()));
            Ok::<_, Infallible>(response)
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // An interrupted connection is a matter of its client.
        let _ended = timeout(CONNECTION_TIME_LIMIT, connection).await;
    }
}

fn answer(path: &str, before: &[StatusCode], model: &Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    match path {
        MODEL => *response.body_mut() = Full::new(model.clone()),
        LATEST if before.contains(&StatusCode::SERVICE_UNAVAILABLE) => {
            *response.status_mut() = StatusCode::FOUND;
            let model = HeaderValue::from_static(MODEL);
            response.headers_mut().insert(LOCATION, model);
        }
        LATEST => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(website: &Website, path: &str) -> String {
        let mut stream = TcpStream::connect(website.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_has_the_model_a_way_to_it_and_nothing_else() {
        let loopback = own_address(Ipv4Addr::LOCALHOST.into()).await.unwrap();
        let website = Website::open_at(loopback, b"a model".to_vec())
            .await
            .unwrap();
        for (path, status, rest) in [
            (MODEL, StatusCode::OK, "\r\n\r\na model"),
            (LATEST, StatusCode::SERVICE_UNAVAILABLE, "\r\n\r\n"),
            (LATEST, StatusCode::FOUND, "location: /model.onnx\r\n"),
            ("/", StatusCode::NOT_FOUND, "\r\n\r\n"),
        ] {
            let answer = get(&website, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.contains(rest),
                "{path}: {answer}"
            );
            assert_eq!(website.answers().last(), Some(&status));
        }
        let address = website.address;
        drop(website);
        // The task ends at its next await point.
        tokio::task::yield_now().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
