//! `sluicegate demo`: the simulated provider, the proxy and three apps, live.

use clap::Args;

use super::exit::{CliError, Exit};
use super::serve::Stop;
use crate::demo::{self, Ending, Options, Outcome, View};

/// How the demo is to run.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How long the apps go on asking, in seconds
    #[arg(long, value_name = "N", default_value_t = demo::SECONDS,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The seed of texts and answers
    #[arg(long, value_name = "N", default_value_t = demo::SEED)]
    seed: u64,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
    /// No live screen, as where the output is no terminal
    #[arg(long)]
    plain: bool,
}

/// Runs the demo to its table.
pub(super) async fn run(args: &DemoArgs) -> Result<Exit, CliError> {
    let options = Options {
        seconds: args.seconds,
        seed: args.seed,
        ending: if args.json { Ending::Json } else { Ending::Table },
        view: if args.plain { View::Plain } else { View::Live },
    };
    let mut stop = Stop::listen().map_err(CliError::Signals)?;
    let stopped = async move {
        let _by_whom = stop.told().await;
    };
    match demo::run(options, stopped).await? {
        Outcome::Finished => Ok(Exit::Done),
        Outcome::Stopped => Ok(Exit::Failed),
    }
}
