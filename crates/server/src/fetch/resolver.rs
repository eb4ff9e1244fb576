//! Looks up hosts, and keeps redirects to the addresses that they may lead to.
//!
//! It hands on the very addresses that are then connected to, so a name that is looked up twice can't
//! give another address the second time.

use std::sync::OnceLock;

use http::Uri;
use http::uri::Scheme;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address_scope::{AddressScope, RedirectPolicy};

/// Why a redirect isn't followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ForbiddenRedirect {
    /// The host has no address that it may lead to.
    #[error("it redirects to an address that redirects may not lead to")]
    Address,
    /// From https to http.
    #[error("it redirects from https to http")]
    Unencrypted,
}

/// For one download.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    /// What the owner named.
    model: Uri,
    /// How that was reached. Empty where a proxy has looked it up.
    reach: OnceLock<AddressScope>,
    redirects: RedirectPolicy,
    lookup: DefaultResolver,
}

impl GuardedResolver {
    pub(super) fn new(model: Uri, redirects: RedirectPolicy) -> Self {
        Self {
            model,
            reach: OnceLock::new(),
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
            // The administrator's choice; where it lets requests go is its own.
            return Ok(found);
        }
        if *uri == self.model && self.reach.get().is_none() {
            // Of several addresses any may be connected to: a public one is the strictest.
            let mut reaches = found.iter().map(|address| AddressScope::of(address.ip()));
            let first = reaches.next().unwrap_or(AddressScope::Public);
            let is_public =
                first == AddressScope::Public || reaches.any(|reach| reach == AddressScope::Public);
            let reach = if is_public {
                AddressScope::Public
            } else {
                first
            };
            let _is_empty = self.reach.set(reach);
            return Ok(found);
        }
        if self.model.scheme() == Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(ureq::Error::Other(Box::new(ForbiddenRedirect::Unencrypted)));
        }
        if self.redirects == RedirectPolicy::Anywhere {
            return Ok(found);
        }
        let from = self.reach.get().copied().unwrap_or(AddressScope::Public);
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
    fn the_owners_host_may_be_anywhere_and_decides_where_redirects_lead() {
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
            // The same host again, which could have another address by now, is no exception.
            assert_eq!(resolve(&resolver, model), Ok(1), "{model}");
        }
    }

    #[test]
    fn behind_a_proxy_a_redirect_to_a_host_without_one_is_no_origin() {
        let resolver = guarded("http://models.example.com/m", RedirectPolicy::SameScope);
        let forbidden = Err(Some(ForbiddenRedirect::Address));
        assert_eq!(resolve(&resolver, "http://127.0.0.1/m"), forbidden);
    }

    #[test]
    fn the_administrator_can_allow_every_address_but_nothing_unencrypted_after_tls() {
        let resolver = guarded("https://8.8.8.8/m", RedirectPolicy::Anywhere);
        assert_eq!(resolve(&resolver, "https://8.8.8.8/m"), Ok(1));
        assert_eq!(resolve(&resolver, "https://127.0.0.1/m"), Ok(1));
        let unencrypted = Err(Some(ForbiddenRedirect::Unencrypted));
        assert_eq!(resolve(&resolver, "http://1.1.1.1/m"), unencrypted);
    }
}
