//! A model on a web server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;

use super::attempt::{Fault, Problem};
use super::location::HttpUrl;
use super::reach::Redirects;
use super::resolver::{Forbidden, GuardedResolver};
use super::target::{Broken, Target};

/// Most redirects to follow: release pages and buckets need two or three.
const MAX_REDIRECTS: u32 = 5;

/// Longest silence in the middle of an answer.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// One download.
#[derive(Debug)]
pub(super) struct Web<'a> {
    pub(super) url: &'a HttpUrl,
    pub(super) connect_timeout: Duration,
    /// For everything.
    pub(super) time: Duration,
    pub(super) redirects: Redirects,
}

impl Web<'_> {
    pub(super) fn download(&self, target: &Target) -> Result<(), Fault> {
        let response = self.agent().get(self.url.uri()).call();
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(Fault::status(self.url, response.status()));
        }
        let body = response.into_body();
        let max = target.max_bytes();
        if body.content_length().is_some_and(|length| length > max) {
            return Err(Fault::TooLarge { max });
        }
        target
            .fill(body.into_reader())
            .map_err(|broken| match broken {
                Broken::Source(error) => self.unreachable(&error.into()),
                Broken::Fault(fault) => fault,
            })
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
            .timeout_global(Some(self.time))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_per_read(Some(MAX_SILENCE))
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

fn problem(error: &ureq::Error) -> Problem {
    match error {
        ureq::Error::HostNotFound => Problem::UnknownHost,
        ureq::Error::Timeout(_) => Problem::TimedOut,
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => Problem::Redirects,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => Problem::Tls,
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => Problem::Protocol,
        ureq::Error::InvalidProxyUrl | ureq::Error::ConnectProxyFailed(_) => Problem::Proxy,
        ureq::Error::Other(error) => match error.downcast_ref::<Forbidden>() {
            Some(Forbidden::Address) => Problem::RedirectAddress,
            Some(Forbidden::Unencrypted) => Problem::RedirectUnencrypted,
            None => Problem::Other,
        },
        ureq::Error::Io(error) if is_tls(error) => Problem::Tls,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Problem::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Problem::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Problem::BrokeOff,
            _ => Problem::Other,
        },
        _ => Problem::Other,
    }
}

/// A handshake that failed comes as an error of the connection that it was on.
fn is_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
