//! The binary `springtide-server`.

use std::process::ExitCode;

use springtide_contract::termination::TerminationMessage;
use springtide_process::logging;
use springtide_server::cli::{self, Command};
use springtide_server::preparation::hide_panic_messages;
use springtide_server::{fetch, serve, termination};

/// The failure of a command, as text for people and as a message for the operator.
struct Failure {
    text: String,
    termination_message: Option<TerminationMessage>,
}

fn main() -> ExitCode {
    let (cli, notices) = cli::parse();
    let filter = logging::filter_of_environment();
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
