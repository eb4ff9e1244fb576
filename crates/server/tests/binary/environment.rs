//! Environment variables without the prefix, and the addresses of listeners.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::support::{Server, binary, ended, model};

fn serve() -> Command {
    let mut command = binary();
    command
        .args(["serve", "--port", "0", "--model-path"])
        .arg(model("iris"));
    command
}

/// The exit status and what was said by a server that finds no model.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let (status, log) = ended(command.args(["serve", "--model-path", "/nowhere/model.onnx"]));
    (status.code(), log)
}

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn names_that_others_set_do_not_end_the_server() {
    let mut command = serve();
    command
        .env("HOST", "x86_64-conda-linux-gnu")
        .env("PORT", "tcp://10.0.0.1:80")
        .env("GRPC_PORT", "tcp://10.0.0.1:8001")
        .env("MODEL_NAME", "meta/llama 3")
        .env("MODEL_DIR", "/somebody/elses")
        .env("WORKERS", "auto")
        .env("MAX_CONNECTIONS", "unlimited");
    let server = Server::spawn(command);
    assert_eq!(server.client().get("/v2/models/model").status, 200);
}

#[test]
fn each_one_that_is_passed_over_is_named_with_the_name_to_use() {
    let mut command = binary();
    command
        .env("SPRINGTIDE_PORT", "tcp://10.0.0.1:80")
        .env("SPRINGTIDE_HOST", "127.0.0.1")
        .env("HOST", "x86_64-conda-linux-gnu")
        .env("WORKERS", "auto")
        .env("PORT", "0");
    let (_, said) = said(&mut command);
    for expected in [
        "WORKERS is ignored",
        "set SPRINGTIDE_WORKERS",
        "SPRINGTIDE_PORT is ignored: it describes a Service",
        "PORT was read, but the next release will ignore it: set SPRINGTIDE_PORT",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("HOST is ignored"), "not asked: {said}");
}

#[test]
fn a_name_of_our_own_wins_and_must_be_valid() {
    let mut command = binary();
    command
        .env("SPRINGTIDE_HOST", "x86_64-conda-linux-gnu")
        .env("HOST", "127.0.0.1");
    let (status, said_of_host) = said(&mut command);
    assert_eq!(status, Some(2), "{said_of_host}");
    assert!(said_of_host.contains("--host"), "{said_of_host}");
    let (status, _) = said(binary().env("MAX_BATCH_SIZE", "0"));
    assert_eq!(status, Some(2), "the contract's names are ours");
    let mut command = serve();
    command
        .env("SPRINGTIDE_MODEL_NAME", "ours")
        .env("MODEL_NAME", "theirs");
    let server = Server::spawn(command);
    assert_eq!(server.client().get("/v2/models/ours").status, 200);
    assert_eq!(server.client().get("/v2/models/theirs").status, 404);
}

#[test]
fn the_contracts_names_and_former_ones_are_read() {
    let mut command = serve();
    command
        .env("MAX_BATCH_SIZE", "2")
        .env("MODEL_NAME", "former");
    let server = Server::spawn(command);
    let client = server.client();
    assert_eq!(client.get("/v2/models/former").status, 200);
    assert_eq!(client.predict(&[[1.0; 4]; 2]).status, 200);
    assert_eq!(client.predict(&[[1.0; 4]; 3]).status, 422);
}

#[test]
fn both_families_are_listened_on_unless_a_host_is_named() {
    let port = |server: &Server| server.address().parse::<SocketAddr>().unwrap().port();
    for host in [None, Some("0.0.0.0")] {
        let mut command = serve();
        if let Some(host) = host {
            command.env("HOST", host);
        }
        let server = Server::spawn(command);
        TcpStream::connect(("127.0.0.1", port(&server))).unwrap();
        if has_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port(&server))).unwrap();
        }
    }
    let mut command = serve();
    command.env("SPRINGTIDE_HOST", "0.0.0.0");
    let server = Server::spawn(command);
    TcpStream::connect(("127.0.0.1", port(&server))).unwrap();
    assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port(&server))).is_err());
}
