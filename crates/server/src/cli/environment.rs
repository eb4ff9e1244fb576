//! Environment variables without the prefix: which of them are meant for this server.
//!
//! The flags themselves read the prefixed names only ([`springtide_contract::env`]). A variable without the prefix is
//! read if neither the flag nor the prefixed variable is given.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use springtide_contract::env;

use super::Cli;

/// The former default of [`env::HOST`], from before the server listened on IPv6. It means the same as the present
/// default.
const ALL_ADDRESSES: &str = "0.0.0.0";

/// The beginnings of the variables `<SERVICE>_PORT` that Kubernetes sets in a pod for each Service of its namespace. A
/// Service named `springtide`, `springtide-grpc` or `springtide-health` makes prefixed names.
const SERVICE_LINKS: [&str; 3] = ["tcp://", "udp://", "sctp://"];

/// A warning about a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The variable.
    variable: &'static str,
    /// The prefixed name.
    prefixed: &'static str,
    outcome: Outcome,
}

/// The treatment of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Read,
    /// It is ignored: it is the former default.
    AllAddresses,
    /// It is ignored: its value is invalid.
    NotValid,
    /// It is ignored, because a conflicting flag is given.
    Excluded(String),
    /// It is ignored: it describes a Service.
    ServiceLink,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable, prefixed, ..
        } = self;
        match &self.outcome {
            Outcome::Read => write!(
                formatter,
                "the environment variable {variable} was read, but the next release will ignore it: \
                 set {prefixed} instead"
            ),
            Outcome::AllAddresses => write!(
                formatter,
                "the environment variable {variable} is ignored: {ALL_ADDRESSES} was the default, \
                 which is now all addresses over IPv6 and IPv4. To listen on IPv4 only, set \
                 {prefixed}"
            ),
            Outcome::NotValid => write!(
                formatter,
                "the environment variable {variable} is ignored: its value is invalid for this \
                 server. If it is meant for this server, set {prefixed}"
            ),
            Outcome::Excluded(flag) => write!(
                formatter,
                "the environment variable {variable} is ignored, because {flag} is given. If it is \
                 meant for this server, set {prefixed}"
            ),
            Outcome::ServiceLink => write!(
                formatter,
                "the environment variable {variable} is ignored: it describes a Service of \
                 Kubernetes. To remove it, set enableServiceLinks: false in the pod"
            ),
        }
    }
}

/// Parses the command line and the environment of the process. Exits with a usage error if one of them is invalid.
/// Gives the warnings, which can be logged after the set-up of logging.
#[must_use]
pub fn parse() -> (Cli, Vec<Notice>) {
    let arguments: Vec<_> = std::env::args_os().collect();
    read(&arguments, &|name| std::env::var_os(name)).unwrap_or_else(|error| error.exit())
}

fn read(
    arguments: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(Cli, Vec<Notice>), clap::Error> {
    let (command, mut notices) = without_service_links(Cli::command(), variable);
    let matches = command.clone().try_get_matches_from(arguments)?;
    let Some((name, given)) = matches.subcommand() else {
        return Ok((Cli::from_arg_matches(&matches)?, notices));
    };
    // This one has the names of all variables, also of those that describe a Service.
    let named = Cli::command();
    let Some(subcommand) = named.find_subcommand(name) else {
        return Ok((Cli::from_arg_matches(&matches)?, notices));
    };
    let (plain, further) = decide(subcommand, given, variable);
    notices.extend(further);
    let name = name.to_owned();
    let command = command.mut_subcommand(name, |subcommand| {
        plain
            .into_iter()
            .fold(subcommand, |subcommand, (id, plain)| {
                subcommand.mut_arg(id, |argument| argument.env(plain))
            })
    });
    let matches = command.try_get_matches_from(arguments)?;
    Ok((Cli::from_arg_matches(&matches)?, notices))
}

/// The command without the variables of ports that describe a Service.
fn without_service_links(
    mut command: Command,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> (Command, Vec<Notice>) {
    let mut notices = Vec::new();
    for (id, prefixed) in [
        ("port", env::PORT),
        ("grpc_port", env::GRPC_PORT),
        ("health_port", env::HEALTH_PORT),
    ] {
        if variable(prefixed).is_some_and(|value| is_service_link(&value)) {
            command = command.mut_subcommand("serve", |serve| {
                serve.mut_arg(id, |argument| argument.env(None::<&'static str>))
            });
            notices.push(Notice {
                variable: prefixed,
                prefixed,
                outcome: Outcome::ServiceLink,
            });
        }
    }
    (command, notices)
}

fn is_service_link(value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    SERVICE_LINKS
        .iter()
        .any(|scheme| value.starts_with(scheme.as_bytes()))
}

/// The arguments that are read from variables without the prefix, with their variables, and the warnings.
fn decide(
    command: &Command,
    given: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> (Vec<(String, &'static str)>, Vec<Notice>) {
    let mut plain_names = Vec::new();
    let mut notices = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let named = |names: &[&'static str]| {
            let name = argument.get_env()?;
            names.iter().copied().find(|other| name == *other)
        };
        let (Some(prefixed), is_permanent) = (match named(&env::PERMANENT) {
            Some(prefixed) => (Some(prefixed), true),
            None => (named(&env::FORMER), false),
        }) else {
            continue;
        };
        let Some(plain) = env::unprefixed(prefixed) else {
            continue;
        };
        let Some(value) = variable(plain).filter(|_| !is_given(given, argument)) else {
            continue;
        };
        if is_permanent {
            plain_names.push((id.to_owned(), plain));
            continue;
        }
        let conflicting = command
            .get_arg_conflicts_with(argument)
            .into_iter()
            .find(|other| is_given(given, other));
        let outcome = if prefixed == env::HOST && value == ALL_ADDRESSES {
            Outcome::AllAddresses
        } else if let Some(conflicting) = conflicting {
            Outcome::Excluded(format!("--{}", conflicting.get_long().unwrap_or_default()))
        } else if is_valid(command, argument, &value) {
            plain_names.push((id.to_owned(), plain));
            Outcome::Read
        } else {
            Outcome::NotValid
        };
        notices.push(Notice {
            variable: plain,
            prefixed,
            outcome,
        });
    }
    (plain_names, notices)
}

/// Whether the flag or the prefixed variable is given.
fn is_given(given: &ArgMatches, argument: &Arg) -> bool {
    matches!(
        given.value_source(argument.get_id().as_str()),
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

/// Whether a value is valid for the argument.
fn is_valid(command: &Command, argument: &Arg, value: &OsStr) -> bool {
    let Some(long) = argument.get_long() else {
        return false;
    };
    let alone = command
        .clone()
        .mut_args(|argument| argument.env(None::<&'static str>));
    let mut said = OsString::from(format!("--{long}="));
    said.push(value);
    match alone.try_get_matches_from([OsString::from("one value"), said]) {
        Ok(_) => true,
        // Other arguments may be missing.
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of `serve` with these flags and variables. Prefixed variables are those of the process, so they can
    /// only be given as flags.
    fn decided(flags: &[&str], variables: &[(&str, &str)]) -> (Vec<&'static str>, Vec<Notice>) {
        let command = Cli::command();
        let arguments = ["springtide-server", "serve"].iter().chain(flags);
        let matches = command.clone().try_get_matches_from(arguments).unwrap();
        let (_, given) = matches.subcommand().unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let serve = command.find_subcommand("serve").unwrap();
        let (read, notices) = decide(serve, given, &variable);
        (read.into_iter().map(|(_, plain)| plain).collect(), notices)
    }

    fn notice(variable: &'static str, prefixed: &'static str, outcome: Outcome) -> Notice {
        Notice {
            variable,
            prefixed,
            outcome,
        }
    }

    #[test]
    fn an_invalid_value_is_ignored() {
        for (variable, prefixed, value) in [
            ("HOST", env::HOST, "x86_64-conda-linux-gnu"),
            ("HOST", env::HOST, ""),
            ("PORT", env::PORT, "tcp://10.0.0.1:80"),
            ("GRPC_PORT", env::GRPC_PORT, "tcp://10.0.0.1:8001"),
            ("WORKERS", env::WORKERS, "auto"),
            ("WORKERS", env::WORKERS, "-1"),
            ("WORKERS", env::WORKERS, "100000"),
            ("MODEL_NAME", env::MODEL_NAME, "meta/llama 3"),
            ("MODEL_PATH", env::MODEL_PATH, ""),
            (
                "EXECUTION_PROVIDER",
                env::EXECUTION_PROVIDER,
                "CUDAExecutionProvider",
            ),
            ("MAX_CONNECTIONS", env::MAX_CONNECTIONS, "unlimited"),
        ] {
            let (read, notices) = decided(&[], &[(variable, value)]);
            assert!(read.is_empty(), "{variable}={value}");
            let expected = [notice(variable, prefixed, Outcome::NotValid)];
            assert_eq!(notices, expected, "{variable}={value}");
            let said = notices[0].to_string();
            assert!(said.contains(variable) && said.contains(prefixed), "{said}");
            assert!(value.is_empty() || !said.contains(value), "{said}");
        }
    }

    #[test]
    fn a_valid_value_is_read_for_one_more_release() {
        for (variable, prefixed, value) in [
            ("HOST", env::HOST, "127.0.0.1"),
            ("PORT", env::PORT, "8080"),
            ("MODEL_DIR", env::MODEL_DIR, "/models"),
            ("WORKERS", env::WORKERS, "2"),
        ] {
            let (read, notices) = decided(&[], &[(variable, value)]);
            assert_eq!(read, [variable]);
            assert_eq!(notices, [notice(variable, prefixed, Outcome::Read)]);
        }
    }

    #[test]
    fn the_flag_takes_precedence_without_a_warning() {
        let nothing = (vec![], vec![]);
        assert_eq!(
            decided(&["--host", "::1"], &[("HOST", "127.0.0.1")]),
            nothing
        );
        assert_eq!(
            decided(&["--port", "1"], &[("PORT", "tcp://10.0.0.1:80")]),
            nothing
        );
    }

    #[test]
    fn the_former_default_does_not_keep_ipv6_out() {
        let (read, notices) = decided(&[], &[("HOST", "0.0.0.0")]);
        assert!(read.is_empty());
        assert_eq!(notices, [notice("HOST", env::HOST, Outcome::AllAddresses)]);
    }

    #[test]
    fn a_variable_that_conflicts_with_a_flag_is_ignored() {
        let (read, notices) = decided(&["--model-path", "m.onnx"], &[("MODEL_DIR", "/x")]);
        assert!(read.is_empty());
        let excluded = Outcome::Excluded("--model-path".to_owned());
        assert_eq!(notices, [notice("MODEL_DIR", env::MODEL_DIR, excluded)]);
        let (read, notices) = decided(&["--model-dir", "models"], &[("MODEL_PATH", "/x")]);
        assert!(read.is_empty());
        let excluded = Outcome::Excluded("--model-dir".to_owned());
        assert_eq!(notices, [notice("MODEL_PATH", env::MODEL_PATH, excluded)]);
    }

    #[test]
    fn permanent_names_are_read_and_validated_by_the_flag() {
        for value in ["8", "0"] {
            let variables = [("MAX_BATCH_SIZE", value), ("MAX_WAIT_MS", value)];
            let (read, notices) = decided(&[], &variables);
            assert_eq!(read, ["MAX_BATCH_SIZE", "MAX_WAIT_MS"]);
            assert!(notices.is_empty());
        }
    }

    #[test]
    fn names_that_always_had_the_prefix_are_not_read_without_it() {
        let variables = [("BATCHING_MODE", "never"), ("CORS_ORIGIN", "*")];
        assert_eq!(decided(&[], &variables), (vec![], vec![]));
    }

    #[test]
    fn variables_of_services_are_recognised() {
        assert!(is_service_link(OsStr::new("tcp://10.0.0.1:8000")));
        assert!(is_service_link(OsStr::new("udp://[fd00::1]:53")));
        assert!(!is_service_link(OsStr::new("8000")));
        assert!(!is_service_link(OsStr::new("")));
    }

    #[test]
    fn only_the_ports_of_services_are_not_read() {
        let link = |name: &str| (name == env::GRPC_PORT).then(|| "tcp://10.0.0.1:1".into());
        let (command, notices) = without_service_links(Cli::command(), &link);
        let serve = command.find_subcommand("serve").unwrap();
        let known = |id: &str| {
            let argument = serve.get_arguments().find(|other| other.get_id() == id);
            argument.unwrap().get_env().is_some()
        };
        assert!(!known("grpc_port") && known("port"));
        let grpc_port = env::GRPC_PORT;
        assert_eq!(
            notices,
            [notice(grpc_port, grpc_port, Outcome::ServiceLink)]
        );
    }
}
