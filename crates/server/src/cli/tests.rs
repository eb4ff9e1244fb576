use clap::CommandFactory;
use springtide_contract::env;

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_variable_of_the_contract_is_a_flag() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let known: Vec<_> = serve
        .get_arguments()
        .filter_map(clap::Arg::get_env)
        .collect();
    let beside = [
        env::ORT_DYLIB_PATH,
        env::MODEL_SERVICE_NAME,
        env::MODEL_SERVICE_NAMESPACE,
    ];
    for variable in env::FORMER.into_iter().chain(env::PERMANENT).chain(beside) {
        assert!(known.iter().any(|name| *name == variable), "{variable}");
    }
}

#[test]
fn every_variable_has_the_prefix() {
    let mut command = Cli::command();
    for subcommand in command.get_subcommands_mut() {
        for variable in subcommand.get_arguments().filter_map(clap::Arg::get_env) {
            let name = variable.to_str().unwrap();
            // The bindings of ONNX Runtime use this name.
            let is_our_own = name.starts_with(env::PREFIX) || name == env::ORT_DYLIB_PATH;
            assert!(is_our_own, "{name}");
        }
    }
}

#[test]
fn every_command_has_examples_in_its_help() {
    for command in Cli::command()
        .get_subcommands_mut()
        .filter(|command| command.get_name() != "help")
    {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{}", command.get_name());
    }
}
