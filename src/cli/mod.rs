//! The command line: words for people.
//!
//! # What this module owns
//!
//! Subcommands and flags, exit codes ([`Exit`]), how an error is told, and where a configuration is
//! read from: here the program looks at its environment and its files, and nowhere below.
//!
//! # What this module does not do
//!
//! It decides nothing about requests; `serve` hands checked settings to [`crate::server`].
//!
//! # Invariants
//!
//! 1. What was asked for goes to standard output, everything else to standard error.
//! 2. An error says what was found, where, and what to do; no output shows a key.

mod apps;
mod catalog;
mod check;
mod demo;
mod exit;
mod online;
mod outside;
mod reload;
mod serve;
mod simulate;
mod usage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::apps::AppsArgs;
pub use self::apps::AppsError;
use self::catalog::CatalogArgs;
pub use self::catalog::CatalogError;
use self::check::CheckArgs;
use self::demo::DemoArgs;
pub use self::exit::{CliError, Exit};
use self::serve::ServeArgs;
use self::usage::UsageArgs;
pub use self::usage::UsageError;
use crate::simulate::Args as SimulateArgs;

/// A local rate-limiting reverse proxy for LLM APIs: many programs share one quota without a 429.
///
/// Without a command it serves: `OPENAI_API_KEY=... sluicegate`, then point your programs at it with
/// OPENAI_BASE_URL=http://127.0.0.1:8484/v1
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pass requests on to the provider, as fast as the quotas allow (the default).
    Serve(ServeArgs),
    /// Check the configuration and show what is in force, with its origin; keys are masked.
    Check(CheckArgs),
    /// Tell what was used and what it cost, by app, model, account, day and more.
    Usage(Box<UsageArgs>),
    /// Give programs keys of their own, with quotas, models and budgets.
    Apps(Box<AppsArgs>),
    /// Show what models cost, or take over a newer price list.
    Catalog(CatalogArgs),
    /// Simulate a provider: OpenAI's wire with real limits, headers and errors.
    Simulate(Box<SimulateArgs>),
    /// Show it at work: three apps against a simulated provider; no key, no network.
    Demo(DemoArgs),
}

/// What the end of `--help` says.
const AFTER_HELP: &str = concat!(
    "Environment:\n",
    "  OPENAI_API_KEY  the provider's key; without any key each client's own is passed on\n",
    "  OPENAI_ORG_ID, OPENAI_PROJECT_ID  sent with that key\n",
    "  SLUICEGATE_LISTEN, _ADMIN, _UPSTREAM, _DATA_DIR, _CONFIG, _LOG  as the flags, which win\n",
    "  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR  how the provider is reached\n",
    "  RUST_LOG  what is logged besides one line per request, such as `debug`\n\n",
    "Signals:\n",
    "  SIGHUP  reads the configuration again: accounts, keys, limits, apps, rules, routes, prices and the line\n",
    "  SIGTERM  finishes what is under way; a second one stops at once\n\n",
    "Exit codes:\n",
    "  0  done\n",
    "  1  something failed that has no code of its own, such as a provider that cannot be asked (check --online)\n",
    "  2  the command line cannot be understood\n",
    "  3  the configuration is wrong or cannot be read\n",
    "  4  an address cannot be listened on\n",
    "  5  a provider does not take a key (check --online)\n",
    "  6  a provider's figures are not those that are booked (usage --against)",
);

impl Cli {
    /// Reads the command line of this process; leaves the process on `--help` and on mistakes.
    pub fn from_process() -> Self {
        Self::parse()
    }

    /// Does what was asked for, and returns how it ended; errors have been told by then.
    pub async fn run(self) -> Exit {
        let done = match self.command {
            Some(Command::Serve(args)) => serve::run(&args).await,
            None => serve::run(&self.serve).await,
            Some(Command::Check(args)) => check::run(&args).await,
            Some(Command::Usage(args)) => usage::run(&args).await,
            Some(Command::Apps(args)) => apps::run(&args).await,
            Some(Command::Catalog(args)) => catalog::run(&args),
            Some(Command::Simulate(args)) => simulate::run(&args).await,
            Some(Command::Demo(args)) => demo::run(&args).await,
        };
        done.unwrap_or_else(|error| error.tell())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Writes what was asked for; a reader that has gone away is no reason to complain.
fn print(text: &str, exit: Exit) -> Exit {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => exit,
        Err(_) => Exit::Failed,
    }
}
