//! `sluicegate simulate`: the simulated provider alone.

use std::time::Duration;

use super::exit::{CliError, Exit};
use super::serve::Stop;
use crate::simulate::{Args, Dialect, Provider};

/// Runs a simulated provider until the process is told to stop.
pub(super) async fn run(args: &Args) -> Result<Exit, CliError> {
    let config = args.config()?;
    let mut stop = Stop::listen().map_err(CliError::Signals)?;
    let (address, dialect) = (config.listen, config.dialect);
    let keys = config.rules.organisations.iter().flat_map(|owner| &owner.keys);
    // The keys of a simulated provider are no secrets.
    let key = keys.map(|key| key.secret.to_string()).next().unwrap_or_default();
    let provider = Provider::bind(config).await.map_err(|source| CliError::Bind {
        address,
        flag: "--listen",
        source,
    })?;
    let at = provider.addr();
    eprintln!("simulated provider listening on http://{at}");
    match dialect {
        Dialect::Anthropic => {
            eprintln!("  ANTHROPIC_BASE_URL=http://{at} ANTHROPIC_API_KEY={key}");
        }
        _ => {
            let base = dialect.base();
            eprintln!("  OPENAI_BASE_URL=http://{at}{base} OPENAI_API_KEY={key}");
        }
    }
    eprintln!("  statistics: http://{at}/sim/stats");
    stop.told().await;
    // Those who still wait for an answer have a moment to get it; then it is too late, and no
    // mistake.
    tokio::time::timeout(GRACE, provider.shutdown()).await.unwrap_or_default();
    Ok(Exit::Done)
}

/// How long answers under way may take when the process is told to stop.
const GRACE: Duration = Duration::from_secs(5);
