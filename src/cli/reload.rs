//! Reads the configuration again while it serves.

use std::io::{self, IsTerminal as _};

use super::exit::story;
use super::outside;
use super::serve::{ServeArgs, Stop};
use crate::config::ConfigError;
use crate::server::Running;

/// What tells the program to read its configuration again: SIGHUP, where there is such a thing.
pub(super) struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    /// Whether it was started from a terminal, which hangs up when it is closed.
    has_terminal: bool,
}

impl Hangup {
    /// Begins to listen; what comes from now on is heard.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
            has_terminal: is_on_terminal(),
        })
    }

    /// Waits for it.
    async fn heard(&mut self) {
        #[cfg(unix)]
        let _heard = self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// Reads the configuration again whenever it is told to, until it is told to stop. Returns by whom. A
/// terminal that is closed means that, too.
pub(super) async fn until_stopped(
    args: &ServeArgs,
    running: &Running,
    (stop, hangup): (&mut Stop, &mut Hangup),
) -> &'static str {
    let mut told = std::pin::pin!(stop.told());
    loop {
        tokio::select! {
            why = &mut told => return why,
            () = hangup.heard() => {}
        }
        if hangup.has_terminal && !is_on_terminal() {
            return "the terminal was closed";
        }
        reload(args, running).await;
    }
}

/// Takes over what the configuration says now; where something is wrong, tells that, and nothing changes.
async fn reload(args: &ServeArgs, running: &Running) {
    let loaded = match outside::load(&args.flags()) {
        Ok(loaded) => loaded,
        Err(ConfigError::Invalid { problems }) => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            return tracing::error!("{UNCHANGED}");
        }
        Err(error) => return tracing::error!("{UNCHANGED}: {}", story(&error)),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let keys = loaded.settings.mode().to_string();
    match running.renew(loaded.settings).await {
        Ok(left) => {
            tracing::info!(keys, "the configuration is read again");
            if !left.is_empty() {
                let left = left.join(", ");
                tracing::warn!(left, "what is changed here stays as it was until a restart");
            }
        }
        Err(error) => tracing::error!("{UNCHANGED}: {}", story(&error)),
    }
}

fn is_on_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

const UNCHANGED: &str = "the configuration was read again and is not taken over";
