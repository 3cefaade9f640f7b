//! Shows sluicegate at work: a simulated provider, the proxy before it, and three apps that together
//! want about three times the quota.
//!
//! # What this module owns
//!
//! The play: limits (`config/demo.toml`), apps and their requests (`workload`), the clients
//! that send them over real sockets (`worker`), what is seen meanwhile (`screen`) and what is
//! told at the end (`report`, `table`). It needs no key and no network.
//!
//! # What this module does not do
//!
//! It helps nobody: the proxy is the one that `sluicegate serve` starts, the provider the one that
//! `sluicegate simulate` starts, and an app that is refused counts it. All figures on use and
//! refusals come from the provider's side; where the proxy's own are shown, they stand beside
//! the provider's.
//!
//! # Quota used
//!
//! For each organisation and model, between the first and the last moment at which somebody waited
//! for that model (seen 20 times a second): tokens charged at the provider, reserves held for
//! answers under way included, divided by the tokens that were there to be used: the level of the
//! provider's meter at the first moment and all its refill until the last, also what ran over a full
//! meter. The figure for all is the sum of the tokens charged by the sum of the tokens there were, so
//! that each lane weighs by its limit. Idle time between the two moments counts against it, and
//! where nobody waited, there is no figure.

mod numbers;
mod quota;
mod report;
mod screen;
mod stage;
mod table;
mod tally;
mod watch;
mod worker;
mod workload;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::ConfigError;
use crate::server::ServeError;

use self::report::Report;
use self::screen::{Screen, Wish};
use self::stage::Stage;
use self::watch::Watch;
pub use self::worker::CallError;
use self::worker::Crew;

/// How long the apps go on asking, in seconds, if nobody says otherwise.
pub const SECONDS: u64 = 40;

/// The seed of texts and answers, if nobody says otherwise.
pub const SEED: u64 = 7;

/// How the demo is to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long the apps go on asking, in seconds.
    pub seconds: u64,
    /// The seed of texts and answers.
    pub seed: u64,
    /// Whether a line of JSON ends the output.
    pub ending: Ending,
    /// What is shown meanwhile.
    pub view: View,
}

/// What the output ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A table.
    Table,
    /// A table, and the same as one line of JSON.
    Json,
}

/// What is shown while the apps work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A live screen where standard output is a terminal, else nothing.
    Live,
    /// Nothing but a line at the start.
    Plain,
}

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its table.
    Finished,
    /// Somebody stopped it.
    Stopped,
}

/// Why there is no demo.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The embedded configuration is not accepted.
    #[error("the configuration of the demo was rejected")]
    Config(#[from] ConfigError),
    /// The simulated provider finds no port.
    #[error("the simulated provider cannot listen on 127.0.0.1")]
    Provider(#[source] io::Error),
    /// The proxy does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The provider does not tell what it has counted.
    #[error("the simulated provider does not tell its statistics")]
    Stats(#[from] CallError),
    /// Nothing can be shown.
    #[error("the terminal cannot be written to")]
    Terminal(#[source] io::Error),
}

/// Plays the demo and tells how it went; `stop` ends it early.
///
/// # Errors
///
/// Returns a [`DemoError`] where the play cannot begin or its end cannot be told. The terminal is
/// as it was before in every case.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<Outcome, DemoError> {
    let stage = Stage::set(options.seed).await?;
    let live = options.view == View::Live && io::stdout().is_terminal();
    let mut screen = if live { Some(Screen::open().map_err(DemoError::Terminal)?) } else { None };
    if screen.is_none() && options.ending == Ending::Table {
        say(&table::opening(options.seconds)).map_err(DemoError::Terminal)?;
    }
    let crew = Crew::new(stage.proxy_url(), options.seed);
    let mut watch = Watch::new(&stage, &crew, Duration::from_secs(options.seconds));
    let outcome = tokio::select! {
        played = play(&stage, &crew, &mut watch, screen.as_mut()) => played,
        () = stop => Ok(Outcome::Stopped),
    };
    drop(screen);
    if outcome.map_err(DemoError::Terminal)? == Outcome::Stopped {
        say("Stopped.\n").map_err(DemoError::Terminal)?;
        return Ok(Outcome::Stopped);
    }
    let accounts = stage.close(&crew).await?;
    let report = Report::new(options, &crew, &watch, &accounts);
    let mut text = table::closing(&report);
    if options.ending == Ending::Json {
        text.push_str(&report.json());
        text.push('\n');
    }
    say(&text).map_err(DemoError::Terminal)?;
    Ok(Outcome::Finished)
}

/// Lets the apps work, looks at them, and shows them; returns when all their requests are answered,
/// or when somebody at the terminal wants to leave.
async fn play(
    stage: &Stage,
    crew: &Crew,
    watch: &mut Watch,
    mut screen: Option<&mut Screen>,
) -> io::Result<Outcome> {
    let mut workers: JoinSet<()> = crew.start(watch.end());
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut shown = Instant::now();
    loop {
        tokio::select! {
            ended = workers.join_next() => if ended.is_none() { break },
            now = ticks.tick() => {
                watch.look(stage, crew);
                let Some(screen) = screen.as_deref_mut().filter(|_| now >= shown) else { continue };
                shown = now + FRAME;
                if screen.wish()? == Wish::Stop {
                    return Ok(Outcome::Stopped);
                }
                screen.show(&watch.scene(stage, crew))?;
            }
        }
    }
    watch.look(stage, crew);
    Ok(Outcome::Finished)
}

/// How often meters and lines are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the screen changes at most.
const FRAME: Duration = Duration::from_millis(140);

/// Writes to standard output.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
