use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

fn serve(arguments: &[&str]) -> Result<ServeArgs, clap::Error> {
    let all = ["springtide-server", "serve"].iter().chain(arguments);
    match Cli::try_parse_from(all)?.command {
        Command::Serve(args) => Ok(args),
        _ => panic!("not serve"),
    }
}

#[test]
fn a_drain_lasts_a_second_longer_than_its_delay_and_a_request_unless_told_otherwise() {
    let args = serve(&["--request-timeout-ms", "1500"]).unwrap();
    assert_eq!(args.drain_timeout(), Duration::from_millis(3_500));
    let args = serve(&[
        "--request-timeout-ms",
        "1500",
        "--drain-delay-seconds",
        "20",
    ])
    .unwrap();
    assert_eq!(args.drain_timeout(), Duration::from_millis(22_500));
    let args = serve(&["--drain-timeout-seconds", "30"]).unwrap();
    assert_eq!(args.drain_timeout(), Duration::from_secs(30));
}

#[test]
fn the_wait_matters_to_the_window_only() {
    let args = serve(&["--max-wait-ms", "20", "--batching-policy", "window"]).unwrap();
    assert_eq!(args.policy(), Policy::Window(Duration::from_millis(20)));
    let args = serve(&[
        "--max-wait-ms",
        "20",
        "--batching-policy",
        "work-conserving",
    ])
    .unwrap();
    assert!(matches!(args.policy(), Policy::WorkConserving { .. }));
}

#[test]
fn a_queue_is_standing_after_the_time_of_a_request() {
    let args = serve(&[
        "--latency-objective-ms",
        "400",
        "--request-timeout-ms",
        "3000",
    ])
    .unwrap();
    let objective = Objective {
        latency: Duration::from_millis(400),
        overload_after: Duration::from_secs(3),
    };
    assert_eq!(args.batching().objective, Some(objective));
    assert_eq!(serve(&[]).unwrap().batching().objective, None);
}

#[test]
fn values_out_of_bounds_are_refused() {
    for arguments in [
        ["--max-batch-size", "0"],
        ["--max-batch-size", "4097"],
        ["--max-queue-rows", "0"],
        ["--request-timeout-ms", "0"],
        ["--workers", "0"],
        ["--workers", "257"],
        ["--port", "65536"],
        ["--host", "localhost"],
        ["--execution-provider", "CUDA"],
        ["--batching-policy", "none"],
        ["--drain-timeout-seconds", "0"],
    ] {
        assert!(serve(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn a_model_may_be_a_file_or_a_folder_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let file = |path: &str| match serve(&["--model-path", path]).unwrap().source() {
        ModelSource::File { path, .. } => path,
        ModelSource::Directory(_) => panic!("a directory of models"),
    };
    assert_eq!(file(path), folder.path().join("model.onnx"));
    assert_eq!(file("iris.onnx"), PathBuf::from("iris.onnx"));
}
