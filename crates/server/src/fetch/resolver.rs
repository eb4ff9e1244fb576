//! Resolves hosts, and restricts redirects to allowed addresses.
//!
//! It returns the addresses of the connection itself, so a second DNS lookup can't give another address.

use std::sync::OnceLock;

use http::Uri;
use http::uri::Scheme;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address_scope::{AddressScope, RedirectPolicy};

/// The reason for which a redirect isn't followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ForbiddenRedirect {
    /// The host has no allowed address.
    #[error("it redirects to an address that is not public")]
    Address,
    /// It leads from https to http.
    #[error("it redirects from https to http")]
    Unencrypted,
}

/// The resolver of one download.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    /// The URI of the model.
    model: Uri,
    /// The scope of its host. Unset if a proxy resolves it.
    scope: OnceLock<AddressScope>,
    redirects: RedirectPolicy,
    lookup: DefaultResolver,
}

impl GuardedResolver {
    pub(super) fn new(model: Uri, redirects: RedirectPolicy) -> Self {
        Self {
            model,
            scope: OnceLock::new(),
            redirects,
            lookup: DefaultResolver::default(),
        }
    }
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.lookup.resolve(uri, config, timeout)?;
        if config.proxy().is_some_and(|proxy| proxy.uri() == uri) {
            // The administrator chose the proxy, which has restrictions of its own.
            return Ok(found);
        }
        if *uri == self.model && self.scope.get().is_none() {
            // Any of the addresses may be connected to, so a public one decides: it allows the fewest redirects.
            let mut scopes = found.iter().map(|address| AddressScope::of(address.ip()));
            let first = scopes.next().unwrap_or(AddressScope::Public);
            let is_public =
                first == AddressScope::Public || scopes.any(|scope| scope == AddressScope::Public);
            let scope = if is_public {
                AddressScope::Public
            } else {
                first
            };
            let _is_empty = self.scope.set(scope);
            return Ok(found);
        }
        if self.model.scheme() == Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(ureq::Error::Other(Box::new(ForbiddenRedirect::Unencrypted)));
        }
        if self.redirects == RedirectPolicy::Anywhere {
            return Ok(found);
        }
        let from = self.scope.get().copied().unwrap_or(AddressScope::Public);
        let mut allowed = self.empty();
        for address in &found {
            if from.may_redirect_to(AddressScope::of(address.ip())) {
                allowed.push(*address);
            }
        }
        if allowed.is_empty() {
            return Err(ureq::Error::Other(Box::new(ForbiddenRedirect::Address)));
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use ureq::Agent;

    use super::*;

    fn resolve(resolver: &GuardedResolver, url: &str) -> Result<usize, Option<ForbiddenRedirect>> {
        let config = Agent::config_builder().proxy(None).build();
        let found = resolver.resolve(&url.parse().unwrap(), &config, NextTimeout::default());
        match found {
            Ok(found) => Ok(found.len()),
            Err(ureq::Error::Other(error)) => Err(error.downcast_ref().copied()),
            Err(_) => Err(None),
        }
    }

    fn guarded(url: &str, redirects: RedirectPolicy) -> GuardedResolver {
        GuardedResolver::new(url.parse().unwrap(), redirects)
    }

    #[test]
    fn the_host_of_the_model_may_be_anywhere_and_decides_about_redirects() {
        for (model, target, expected) in [
            ("http://8.8.8.8/m", "http://1.1.1.1/m", Ok(1)),
            (
                "http://8.8.8.8/m",
                "http://127.0.0.1/m",
                Err(Some(ForbiddenRedirect::Address)),
            ),
            (
                "http://8.8.8.8/m",
                "http://169.254.169.254/",
                Err(Some(ForbiddenRedirect::Address)),
            ),
            ("http://10.0.0.1/m", "http://10.0.0.2/m", Ok(1)),
            (
                "http://10.0.0.1/m",
                "http://127.0.0.1/m",
                Err(Some(ForbiddenRedirect::Address)),
            ),
            ("http://10.0.0.1/m", "http://8.8.8.8/m", Ok(1)),
            (
                "https://8.8.8.8/m",
                "http://8.8.8.8/m",
                Err(Some(ForbiddenRedirect::Unencrypted)),
            ),
        ] {
            let resolver = guarded(model, RedirectPolicy::SameScope);
            assert_eq!(resolve(&resolver, model), Ok(1), "{model}");
            assert_eq!(resolve(&resolver, target), expected, "{model} to {target}");
            // The same host is checked again, because it may have another address now.
            assert_eq!(resolve(&resolver, model), Ok(1), "{model}");
        }
    }

    #[test]
    fn behind_a_proxy_a_redirect_does_not_set_the_scope() {
        let resolver = guarded("http://models.example.com/m", RedirectPolicy::SameScope);
        let forbidden = Err(Some(ForbiddenRedirect::Address));
        assert_eq!(resolve(&resolver, "http://127.0.0.1/m"), forbidden);
    }

    #[test]
    fn the_administrator_can_allow_all_addresses_but_not_http_after_https() {
        let resolver = guarded("https://8.8.8.8/m", RedirectPolicy::Anywhere);
        assert_eq!(resolve(&resolver, "https://8.8.8.8/m"), Ok(1));
        assert_eq!(resolve(&resolver, "https://127.0.0.1/m"), Ok(1));
        let unencrypted = Err(Some(ForbiddenRedirect::Unencrypted));
        assert_eq!(resolve(&resolver, "http://1.1.1.1/m"), unencrypted);
    }
}
