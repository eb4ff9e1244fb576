//! The binary `springtide-server`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use springtide_contract::termination::TerminationMessage;
use springtide_process::logging;
use springtide_server::cli::{self, Command};
use springtide_server::models::checksum::checksum;
use springtide_server::preparation::hide_panic_messages;
use springtide_server::{fetch, inspect, serve, termination};

/// The failure of a command, as text for people and as a message for the operator.
struct Failure {
    text: String,
    termination_message: Option<TerminationMessage>,
}

fn main() -> ExitCode {
    let (cli, notices) = cli::parse();
    let filter = match &cli.command {
        // Its report has everything that the log has.
        Command::Inspect(_) if std::env::var_os("RUST_LOG").is_none() => {
            logging::EnvFilter::new("off")
        }
        _ => logging::filter_of_environment(),
    };
    logging::start(filter, logging::Format::Json, std::io::stderr);
    for notice in notices {
        tracing::warn!("{notice}");
    }
    let (result, termination_message_path) = match &cli.command {
        Command::Serve(args) => {
            hide_panic_messages();
            let result = serve::run(args).map_err(|error| Failure {
                text: error.to_string(),
                termination_message: error.termination_message(),
            });
            (result, &args.termination_message_path)
        }
        Command::Probe(args) => {
            return match serve::probe(args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_reported_by_the_load_itself) => ExitCode::FAILURE,
            };
        }
        Command::Inspect(args) => {
            return match inspect::run(args) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) | Err(_) => ExitCode::FAILURE,
            };
        }
        Command::Checksum(args) => {
            let printed = checksum(&args.path)
                .map_err(|error| error.to_string())
                .and_then(|sha256| {
                    writeln!(io::stdout(), "{sha256}").map_err(|error| error.to_string())
                });
            return match printed {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(error, "failed");
                    ExitCode::FAILURE
                }
            };
        }
        Command::Fetch(args) => {
            let result = fetch::run(args).map_err(|error| Failure {
                text: error.to_string(),
                termination_message: Some(error.termination_message()),
            });
            (result, &args.termination_message_path)
        }
    };
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    tracing::error!(error = failure.text, "failed");
    if let Some(message) = failure.termination_message {
        termination::write(termination_message_path, &message);
    }
    ExitCode::FAILURE
}
