//! The binary `springtide-server`.

use std::process::ExitCode;

use clap::Parser;
use springtide_server::cli::{Cli, Command};
use springtide_server::{fetch, logging, serve, termination};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start();
    let (result, termination_message_path) = match &cli.command {
        Command::Serve(args) => (serve::run(args), &args.termination_message_path),
        Command::Fetch(args) => (
            fetch::run(args).map_err(Into::into),
            &args.termination_message_path,
        ),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    tracing::error!(error = %error, "failed");
    if let Some(message) = error.termination_message() {
        termination::write(termination_message_path, &message);
    }
    ExitCode::FAILURE
}
