//! A model on a web server.

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
use super::fault::{Fault, NetworkFault, Progress};
use super::location::HttpUrl;
use super::resolver::{ForbiddenRedirect, GuardedResolver};

/// Most redirects to follow: release pages and buckets need two or three.
const MAX_REDIRECTS: u32 = 5;

/// Longest silence in the middle of an answer.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// Longest entity tag that is kept.
const MAX_ENTITY_TAG_BYTES: usize = 1024;

/// One download.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) url: &'a HttpUrl,
    pub(super) connect_timeout: Duration,
    /// Longest time without a byte.
    pub(super) stall: Duration,
    /// Longest time for everything, if it is bounded.
    pub(super) time: Option<Duration>,
    pub(super) redirects: RedirectPolicy,
}

impl Download<'_> {
    /// Downloads the model, or what is missing of it.
    ///
    /// What is there is gone on with: the server is asked for the rest of the same file (`Range` and `If-Range` of
    /// RFC 9110, sections 13.1.5 and 14.2), and where it gives the whole instead, that counts. The checksum decides:
    /// where the parts don't fit together, everything is downloaded again.
    pub(super) fn download(
        &self,
        target: &Destination,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let mut begun = target.begun();
        if let Some(whole) = begun.take_if(|part| target.is_whole(part)) {
            return target.put_in_place(whole);
        }
        let mut response = self.ask(begun.as_ref())?;
        let is_the_rest = |response: &WebResponse, begun: &PartialFile| {
            response.status() == StatusCode::PARTIAL_CONTENT
                && first_byte(response) == Some(begun.length())
        };
        if begun
            .as_ref()
            .is_some_and(|begun| is_partial(response.status()) && !is_the_rest(&response, begun))
        {
            target.discard();
            begun = None;
            response = self.ask(None)?;
        }
        let part = match begun {
            Some(begun) if is_the_rest(&response, &begun) => begun,
            _ if response.status() == StatusCode::OK => target.anew(entity_tag(&response))?,
            _ => return Err(Fault::status(self.url, response.status())),
        };
        let at = part.length();
        if at > 0 {
            tracing::info!(bytes = at, "going on where it broke off");
        }
        let body = response.into_body();
        let total = body.content_length().map(|rest| at.saturating_add(rest));
        let max = target.max_bytes();
        if total.is_some_and(|total| total > max) {
            target.discard();
            return Err(Fault::TooLarge { max });
        }
        let heard = |length| progress.hear(length, total, Instant::now());
        let result = target.resume(part, body.into_reader(), heard);
        result.map_err(|broken| match broken {
            TransferError::Source(error) => self.unreachable(&error.into()),
            TransferError::Fault(Fault::Checksum { .. }) if at > 0 => Fault::Unreachable {
                url: self.url.to_string(),
                problem: NetworkFault::Changed,
            },
            TransferError::Fault(fault) => fault,
        })
    }

    /// Asks for the model, or for what is missing.
    fn ask(&self, begun: Option<&PartialFile>) -> Result<WebResponse, Fault> {
        let mut request = self.agent().get(self.url.uri());
        if let Some(begun) = begun {
            request = request.header(header::RANGE, format!("bytes={}-", begun.length()));
            if let Some(entity_tag) = begun.entity_tag() {
                request = request.header(header::IF_RANGE, entity_tag);
            }
        }
        request.call().map_err(|error| self.unreachable(&error))
    }

    fn agent(&self) -> Agent {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            // The certificates of the image, or of SSL_CERT_FILE.
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            // A server may close a connection that a redirect to the same host would use again: that
            // looked like a fault that passes, and all was tried again.
            .max_idle_connections(0)
            .timeout_global(self.time)
            .timeout_connect(Some(self.connect_timeout.min(self.stall)))
            .timeout_recv_response(Some(self.stall))
            .timeout_per_read(Some(MAX_SILENCE.min(self.stall)))
            .user_agent(concat!("springtide-server/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = GuardedResolver::new(self.url.uri().clone(), self.redirects);
        Agent::with_parts(config, DefaultConnector::default(), resolver)
    }

    fn unreachable(&self, error: &ureq::Error) -> Fault {
        let problem = problem(error);
        // Details differ from run to run, so they are for the log, and only those of the system: others
        // may hold a redirect's URL, and with it a secret in its query.
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

/// A web server's answer.
type WebResponse = http::Response<Body>;

/// Whether it answers a request for a part, and not with the whole or a fault.
fn is_partial(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
    )
}

/// The first byte that an answer has of the whole, by its `Content-Range: bytes FIRST-LAST/LENGTH`.
fn first_byte(response: &WebResponse) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?;
    let (first, _) = range
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('-')?;
    first.trim().parse().ok()
}

/// What the server calls exactly these bytes. A weak tag may be that of others, too.
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
            | io::ErrorKind::BrokenPipe => NetworkFault::BrokeOff,
            _ => NetworkFault::Other,
        },
        _ => NetworkFault::Other,
    }
}

/// A handshake that failed comes as an error of the connection that it was on.
fn is_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
