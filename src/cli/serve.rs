//! `sluicegate serve`: the proxy itself.

use std::path::PathBuf;

use clap::Args;

use super::exit::{CliError, Exit};
use super::outside;
use super::reload::{self, Hangup};
use crate::config::{Flags, Keys, Loaded, LogFormat};
use crate::upstream::NetworkEnvironment;
use crate::{server, telemetry};

/// What can be said on the command line; each wins over its environment variable and the file.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where programs connect [default: 127.0.0.1:8484]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where people and monitors connect [default: 127.0.0.1:8485]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The provider's base URL [default: https://api.openai.com/v1]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where what is learned is kept; "" for nowhere [default: a folder in your user's data folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The configuration [default: sluicegate/config.toml in your user's config folder, if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines are written [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log: Option<String>,
}

impl ServeArgs {
    /// Returns what was typed.
    pub(super) fn flags(&self) -> Flags {
        Flags {
            listen: self.listen.clone(),
            admin: self.admin.clone(),
            upstream: self.upstream.clone(),
            data_dir: self.data_dir.clone(),
            config: self.config.clone(),
            log: self.log.clone(),
            keys: Keys::Needed,
        }
    }
}

/// Serves until it is told to stop, by SIGTERM or by ctrl-c; SIGHUP lets it read its configuration again.
/// Then finishes what is under way,
/// unless it is told again.
pub(super) async fn run(args: &ServeArgs) -> Result<Exit, CliError> {
    let loaded = outside::load(&args.flags())?;
    let filter = std::env::var("RUST_LOG").ok();
    telemetry::init(loaded.settings.log, filter.as_deref());
    let mut stop = Stop::listen().map_err(CliError::Signals)?;
    let mut hangup = Hangup::listen().map_err(CliError::Signals)?;
    let environment = NetworkEnvironment::read(|name| std::env::var(name).ok());
    let running = server::start(loaded.settings.clone(), environment).await?;
    greet(&loaded, &running);
    let why = reload::until_stopped(args, &running, (&mut stop, &mut hangup)).await;
    tracing::info!(why, "stopping: finishing what is under way; tell it again to stop at once");
    tokio::select! {
        cut = running.stop() => if cut > 0 {
            tracing::warn!(cut, "connections were cut because `timeouts.drain` was over");
        },
        why = stop.told() => tracing::warn!(why, "stopped at once: what was under way is cut"),
    }
    telemetry::flush();
    Ok(Exit::Done)
}

/// Tells where it listens and whose keys are used: in words, or as log lines for machines.
fn greet(loaded: &Loaded, running: &server::Running) {
    let mode = loaded.settings.mode();
    let (listen, admin) = (running.listen(), running.admin());
    let kept = kept(running);
    match loaded.settings.log {
        LogFormat::Text => {
            warn(loaded);
            eprintln!("listening on http://{listen}\nadmin on http://{admin}\n{mode}\n{kept}");
        }
        LogFormat::Json => {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!(%listen, %admin, %mode, kept, "listening");
        }
    }
}

/// Tells where what is learned is kept.
fn kept(running: &server::Running) -> String {
    match running.kept_in() {
        Some(place) => format!("what is learned and booked is kept in {place}"),
        None => "what is learned is not kept over a restart, and nothing is booked".to_owned(),
    }
}

/// What tells the program to stop.
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// Would end the program where a file may not grow any more (`ulimit -f`); listened to, it leaves that an error.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    _too_large: tokio::signal::unix::Signal,
}

impl Stop {
    /// Begins to listen; what comes from now on is heard.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            _too_large: tokio::signal::unix::signal(TOO_LARGE)?,
        })
    }

    /// Waits until it is told, and returns by whom.
    pub(super) async fn told(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _told = self.terminate.recv() => "SIGTERM",
            _told = tokio::signal::ctrl_c() => "ctrl-c",
        }
        #[cfg(not(unix))]
        {
            let _told = tokio::signal::ctrl_c().await;
            "ctrl-c"
        }
    }
}

/// Tells what works but should be changed.
pub(super) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
}

/// What the system says to who writes more into a file than it may, SIGXFSZ: 25 on Linux but for MIPS and the like
/// (<https://man7.org/linux/man-pages/man7/signal.7.html>, read 2026-11-23) and on macOS.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const TOO_LARGE: tokio::signal::unix::SignalKind = tokio::signal::unix::SignalKind::from_raw(25);
