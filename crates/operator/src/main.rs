//! `springtide-operator`: see `--help`.

use clap::Parser;
use springtide_operator::{run::run, settings::Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Settings::parse()).await
}
