//! Where a model comes from, as a ModelService or a command line says it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use springtide_contract::sha256::Sha256;
use springtide_server::fetch::location::Source;

fuzz_target!(|text: &str| {
    if let Ok(source) = text.parse::<Source>() {
        let shown = source.to_string();
        if let Source::Http(url) = source {
            assert!(!shown.contains('?'), "a query may hold a secret: {shown}");
            let authority = url.uri().authority().expect("a URL has a host");
            let host = authority.host();
            assert!(!host.is_empty());
            assert!(authority.as_str() == host || authority.port().is_some());
        }
    }
    if let Ok(sha256) = text.parse::<Sha256>() {
        assert_eq!(sha256.to_string(), text);
    }
});
