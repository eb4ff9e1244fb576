//! The status of the server: its model files, and its memory at rest.

use std::fs;

use sha2::{Digest as _, Sha256};

use crate::memory::{iris_and_letters, serving_folder};
use crate::support::{Server, model};

const STATUS: &str = "/springtide/v1/status";

#[test]
fn each_model_has_the_sha256_of_its_file() {
    let server = Server::start("iris", &[]);
    let status = server.client().get(STATUS).json();
    let expected = format!("{:x}", Sha256::digest(fs::read(model("iris")).unwrap()));
    assert_eq!(status["models"][0]["sha256"], expected, "{status}");

    let models = iris_and_letters();
    let server = Server::spawn(serving_folder(models.path()));
    let status = server.client().get(STATUS).json();
    for (place, name) in ["iris", "letters"].into_iter().enumerate() {
        let file = models.path().join(name).join("1/model.onnx");
        let expected = format!("{:x}", Sha256::digest(fs::read(file).unwrap()));
        let said = &status["models"][place];
        assert_eq!(
            (&said["name"], &said["sha256"]),
            (&name.into(), &expected.into())
        );
    }
}

#[test]
fn memory_at_rest_is_measured_once() {
    let server = Server::start("digits", &[]);
    let client = server.client();
    let at_rest = || {
        let status = client.get(STATUS).json();
        status["memory"]["at_rest_bytes"].as_u64().unwrap()
    };
    let before = at_rest();
    assert!((4 << 20..4 << 30).contains(&before), "{before}");
    for _ in 0..20 {
        assert_eq!(client.predict(&vec![0.5; 64]).status, 200);
    }
    assert_eq!(at_rest(), before);
}
