//! `sluicegate check`: what is in force, where it comes from, and whether the keys work.

use std::fmt::Write as _;

use clap::Args;

use super::exit::{CliError, Exit};
use super::serve::{ServeArgs, warn};
use super::{online, outside, print};
use crate::config::{DEFAULTS, Loaded};

/// How to check.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Also try each key at the provider; costs nothing there.
    #[arg(long)]
    online: bool,
    /// Print every setting with its default and an explanation: a configuration to begin with.
    #[arg(long, conflicts_with = "online")]
    defaults: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Checks what `serve` would go by with the same flags.
pub(super) async fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    if args.defaults {
        return Ok(print(DEFAULTS, Exit::Done));
    }
    let loaded = outside::load(&args.serve.flags())?;
    warn(&loaded);
    let exit = print(&listing(&loaded), Exit::Done);
    if !args.online {
        return Ok(exit);
    }
    let trials = online::try_keys(&loaded.settings).await?;
    let tried = online::exit(&trials);
    Ok(print(&online::listing(&trials), if tried == Exit::Done { exit } else { tried }))
}

/// Lists the settings in columns, below one line each on the file and on whose keys are used.
fn listing(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(path) => format!("{} is valid\n", path.display()),
        None => "no configuration file; the defaults are in force\n".to_owned(),
    };
    text.push_str(&loaded.settings.mode().to_string());
    text.push_str("\n\n");
    let widest = |column: fn(&crate::config::Effective) -> &str| {
        loaded.effective.iter().map(|one| column(one).len()).max().unwrap_or(0)
    };
    let (keys, values) = (widest(|one| &one.key), widest(|one| &one.value));
    for one in &loaded.effective {
        // Writing to a text cannot fail.
        writeln!(text, "{:keys$}  {:values$}  {}", one.key, one.value, one.origin)
            .unwrap_or_default();
    }
    text
}
