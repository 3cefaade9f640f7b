//! How the program ends, and how an error is told.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use thiserror::Error;

use super::apps::AppsError;
use super::catalog::CatalogError;
use super::usage::UsageError;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::server::ServeError;
use crate::simulate::SimulateError;
use crate::upstream::ClientError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked for.
    Done,
    /// Something failed that has no code of its own.
    Failed,
    /// The command line cannot be understood (clap's own code).
    Usage,
    /// The configuration is wrong or cannot be read.
    Config,
    /// An address cannot be listened on.
    Bind,
    /// A key does not work.
    Key,
    /// A provider's figures are not those that are booked.
    Differs,
}

impl Exit {
    /// Returns the number that the system is told.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Bind => 4,
            Self::Key => 5,
            Self::Differs => 6,
        }
    }
}

/// Why a command could not do what was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration was rejected.
    #[error("cannot start")]
    Config(#[from] ConfigError),

    /// The provider cannot be reached the way the environment says.
    #[error("cannot start")]
    Client(#[from] ClientError),

    /// The server cannot start.
    #[error("cannot start")]
    Serve(#[from] ServeError),

    /// The system refuses to tell when to stop.
    #[error("cannot start: cannot listen for signals")]
    Signals(#[source] io::Error),

    /// The settings of the simulated provider were rejected.
    #[error("cannot start")]
    Simulate(#[from] SimulateError),

    /// An address cannot be listened on.
    #[error("cannot start: cannot listen on {address}; choose another with {flag}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The catalog cannot be shown or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),

    /// It cannot be told what was used.
    #[error(transparent)]
    Usage(#[from] UsageError),

    /// The apps cannot be shown or changed.
    #[error(transparent)]
    Apps(#[from] AppsError),

    /// The demo cannot run.
    #[error("the demo cannot run")]
    Demo(#[from] DemoError),
}

impl CliError {
    /// Returns how the program ends with this error.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Client(_)
            | Self::Simulate(_)
            | Self::Serve(ServeError::Open { .. } | ServeError::Proxy(_) | ServeError::Store(_)) => {
                Exit::Config
            }
            Self::Bind { .. } | Self::Serve(ServeError::Bind { .. }) => Exit::Bind,
            Self::Usage(error) => error.exit(),
            Self::Signals(_) | Self::Demo(_) | Self::Catalog(_) | Self::Apps(_) => Exit::Failed,
        }
    }

    /// Writes the error with its causes to standard error, and returns how the program ends.
    pub(super) fn tell(&self) -> Exit {
        eprintln!("sluicegate: {}", story(self));
        self.exit()
    }
}

/// Tells an error and, behind colons, what caused it.
pub(super) fn story(error: &dyn Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        let words = this.to_string();
        // Not every library leaves its cause to be told.
        if !story.ends_with(&words) {
            // Writing to a text cannot fail.
            write!(story, ": {words}").unwrap_or_default();
        }
        cause = this.source();
    }
    story
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = ConfigError::Read { path: PathBuf::from("/a.toml"), source };
        let story = story(&CliError::from(error));
        assert_eq!(
            story,
            "cannot start: cannot read the configuration /a.toml (`sluicegate check --defaults` \
             prints one to begin with): permission denied"
        );
    }

    #[test]
    fn an_error_that_only_passes_another_on_is_told_once() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("--rpm=0",           "`--rpm` is 0"),
            ("--used-at-start=2", "`--used-at-start` is 2"),
            ("--jitter=2",        "`--jitter` is 2"),
            ("--output-mean=0",   "`--output-mean` is 0"),
            ("--fault-cut=2",     "`--fault-*` is 2"),
        ];
        for (flag, told) in cases {
            let config = Simulate::try_parse_from(["simulate", flag]).expect("it can be read");
            let error = config.args.config().expect_err("it makes no sense");
            let story = story(&CliError::from(error));
            assert_eq!(story.matches(told).count(), 1, "{story}");
        }
    }

    /// The flags as the command line has them.
    #[derive(Debug, clap::Parser)]
    struct Simulate {
        #[command(flatten)]
        args: crate::simulate::Args,
    }
}
