//! Downloads a model from a web server.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, header};
use rustls::crypto::ring;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::address_scope::RedirectPolicy;
use super::destination::{Destination, PartialFile, TransferError};
use super::fault::{Fault, NetworkFault};
use super::location::HttpUrl;
use super::resolver::{ForbiddenRedirect, GuardedResolver};
use super::retry::Progress;

/// Maximum redirects. Release pages and buckets need two or three.
const MAX_REDIRECTS: u32 = 5;

/// Maximum time without data within a response.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// Maximum bytes of an entity tag that is kept.
const MAX_ENTITY_TAG_BYTES: usize = 1024;

/// One download.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) url: &'a HttpUrl,
    pub(super) connect_timeout: Duration,
    /// Maximum time without received data.
    pub(super) stall_timeout: Duration,
    /// Maximum time of the whole download. None: no limit.
    pub(super) timeout: Option<Duration>,
    pub(super) redirects: RedirectPolicy,
}

impl Download<'_> {
    /// Downloads the model, or its missing rest.
    ///
    /// A received part is resumed: the request asks for the rest of the same file (`Range` and `If-Range` of RFC 9110,
    /// sections 13.1.5 and 14.2). If the server responds with the whole file, the part is replaced. The checksum
    /// verifies the result. If the parts belong to different files, everything is downloaded again.
    pub(super) fn download(
        &self,
        destination: &Destination,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let mut partial = destination.partial();
        if let Some(whole) = partial.take_if(|part| destination.is_complete(part)) {
            return destination.commit(whole);
        }
        let mut response = self.request(partial.as_ref())?;
        let is_the_rest = |response: &WebResponse, partial: &PartialFile| {
            response.status() == StatusCode::PARTIAL_CONTENT
                && first_byte(response) == Some(partial.length())
        };
        if partial.as_ref().is_some_and(|partial| {
            is_partial(response.status()) && !is_the_rest(&response, partial)
        }) {
            destination.discard();
            partial = None;
            response = self.request(None)?;
        }
        let part = match partial {
            Some(partial) if is_the_rest(&response, &partial) => partial,
            _ if response.status() == StatusCode::OK => destination.start(entity_tag(&response))?,
            _ => return Err(Fault::status(self.url, response.status())),
        };
        let at = part.length();
        if at > 0 {
            tracing::info!(bytes = at, "resuming the download");
        }
        let body = response.into_body();
        let total = body.content_length().map(|rest| at.saturating_add(rest));
        let max = destination.max_bytes();
        if total.is_some_and(|total| total > max) {
            destination.discard();
            return Err(Fault::TooLarge { max });
        }
        let received = |length| progress.receive(length, total, Instant::now());
        let result = destination.resume(part, body.into_reader(), received);
        result.map_err(|error| match error {
            TransferError::Source(error) => self.unreachable(&error.into()),
            TransferError::Fault(Fault::Checksum { .. }) if at > 0 => Fault::Unreachable {
                url: self.url.to_string(),
                problem: NetworkFault::Changed,
            },
            TransferError::Fault(fault) => fault,
        })
    }

    /// Requests the model, or the rest of a part.
    fn request(&self, partial: Option<&PartialFile>) -> Result<WebResponse, Fault> {
        let mut request = self.agent().get(self.url.uri());
        if let Some(partial) = partial {
            request = request.header(header::RANGE, format!("bytes={}-", partial.length()));
            if let Some(entity_tag) = partial.entity_tag() {
                request = request.header(header::IF_RANGE, entity_tag);
            }
        }
        request.call().map_err(|error| self.unreachable(&error))
    }

    fn agent(&self) -> Agent {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            // The certificates of the system or of SSL_CERT_FILE.
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            // A server may close a connection that a redirect to the same host would reuse. That would look like a
            // transient fault, and the whole attempt would be retried.
            .max_idle_connections(0)
            .timeout_global(self.timeout)
            .timeout_connect(Some(self.connect_timeout.min(self.stall_timeout)))
            .timeout_recv_response(Some(self.stall_timeout))
            .timeout_per_read(Some(MAX_SILENCE.min(self.stall_timeout)))
            .user_agent(concat!("springtide-server/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = GuardedResolver::new(self.url.uri().clone(), self.redirects);
        Agent::with_parts(config, DefaultConnector::default(), resolver)
    }

    fn unreachable(&self, error: &ureq::Error) -> Fault {
        let problem = problem(error);
        // Details differ between runs, so they are only logged. Only those of the system are, because others may contain
        // the URL of a redirect with a secret in its query.
        let detail = match error {
            ureq::Error::Io(error) => error.to_string(),
            _ => String::new(),
        };
        tracing::warn!(url = %self.url, %problem, detail, "the download failed");
        Fault::Unreachable {
            url: self.url.to_string(),
            problem,
        }
    }
}

/// The response of a web server.
type WebResponse = http::Response<Body>;

/// Whether it responds to a request for a part with something else than the whole or an error.
fn is_partial(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
    )
}

/// The position of the first byte in the whole, by `Content-Range: bytes FIRST-LAST/LENGTH`.
fn first_byte(response: &WebResponse) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?;
    let (first, _) = range
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('-')?;
    first.trim().parse().ok()
}

/// The strong entity tag of a response. A weak one may belong to other bytes, too.
fn entity_tag(response: &WebResponse) -> Option<&str> {
    let tag = response.headers().get(header::ETAG)?.to_str().ok()?;
    (tag.len() <= MAX_ENTITY_TAG_BYTES && tag.starts_with('"')).then_some(tag)
}

fn problem(error: &ureq::Error) -> NetworkFault {
    match error {
        ureq::Error::HostNotFound => NetworkFault::UnknownHost,
        ureq::Error::Timeout(_) => NetworkFault::TimedOut,
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => NetworkFault::Redirects,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => {
            NetworkFault::Tls
        }
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => NetworkFault::Protocol,
        ureq::Error::InvalidProxyUrl | ureq::Error::ConnectProxyFailed(_) => NetworkFault::Proxy,
        ureq::Error::Other(error) => match error.downcast_ref::<ForbiddenRedirect>() {
            Some(ForbiddenRedirect::Address) => NetworkFault::RedirectAddress,
            Some(ForbiddenRedirect::Unencrypted) => NetworkFault::RedirectUnencrypted,
            None => NetworkFault::Other,
        },
        ureq::Error::Io(error) if is_tls(error) => NetworkFault::Tls,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => NetworkFault::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => NetworkFault::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => NetworkFault::Interrupted,
            _ => NetworkFault::Other,
        },
        _ => NetworkFault::Other,
    }
}

/// A failed handshake is an error of its connection.
fn is_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
