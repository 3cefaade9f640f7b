//! Says what is wrong with a configuration, where, and what would be right.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::units::AppName;

/// Why a configuration was rejected.
///
/// Messages are lower-case fragments without a full stop, fit to stand after "cannot start: ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error(
        "cannot read the configuration {} (`sluicegate check --defaults` prints one to begin with)",
        path.display()
    )]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// What was read makes no sense; everything that is wrong is named.
    #[error("{}", Listed(problems))]
    Invalid {
        /// What is wrong; at least one.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong in a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// The text is not TOML.
    #[error("{origin}: not valid TOML: {reason}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser said.
        reason: String,
    },

    /// A key that has no meaning.
    #[error("{origin}: `{key}` is unknown{}", DidYouMean(meant.as_deref()))]
    Unknown {
        /// Where.
        origin: Origin,
        /// The dotted path of the key.
        key: String,
        /// The key that was probably meant, with its path.
        meant: Option<String>,
    },

    /// A value that cannot be.
    #[error("{origin}: `{key}` is {found}, but {rule}")]
    Value {
        /// Where.
        origin: Origin,
        /// The dotted path of the key.
        key: String,
        /// What was found, fit to be shown.
        found: String,
        /// What would be right.
        rule: Cow<'static, str>,
    },

    /// A key that must be there.
    #[error("{origin}: `{key}` is missing, but {rule}")]
    Missing {
        /// Where its table begins.
        origin: Origin,
        /// The dotted path of the key.
        key: String,
        /// What would be right.
        rule: Cow<'static, str>,
    },
}

impl Problem {
    /// Returns the line of the user's file, or zero for what stands elsewhere.
    pub(super) fn line(&self) -> usize {
        let (Self::Syntax { origin, .. }
        | Self::Unknown { origin, .. }
        | Self::Value { origin, .. }
        | Self::Missing { origin, .. }) = self;
        match origin {
            Origin::File { line, .. } => *line,
            _ => 0,
        }
    }
}

/// Something that works but should be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A key stands in the configuration itself.
    InlineKey {
        /// Where.
        origin: Origin,
        /// The dotted path of the key.
        key: String,
    },
    /// Others than its owner can read a file that holds a key.
    ReadableKeyFile {
        /// Where the file is named.
        origin: Origin,
        /// The file.
        path: PathBuf,
    },
    /// The newer price list cannot be read: prices are those in the program.
    Prices {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An app has the key of a provider.
    SharedKey {
        /// Where the app is named.
        origin: Origin,
        /// The app.
        app: AppName,
    },
    /// A key from the environment is not used, because a file names another host.
    UnusedKey {
        /// Where the host is named.
        origin: Origin,
        /// The variable.
        variable: &'static str,
    },
    /// A base URL has no path, where its provider has one.
    NoVersion {
        /// Where the URL is named.
        origin: Origin,
        /// Where a chat is asked for, as it stands.
        asked: String,
    },
    /// Keys travel unencrypted to another machine.
    Cleartext {
        /// Where the URL is named.
        origin: Origin,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InlineKey { origin, key } => write!(
                f,
                "{origin}: `{key}` stands in the file itself; `env` or `file` keep it out of backups and repositories"
            ),
            Self::ReadableKeyFile { origin, path } => write!(
                f,
                "{origin}: others than its owner can read the key file {path}; run `chmod 600 {path}`",
                path = path.display()
            ),
            Self::UnusedKey { origin, variable } => write!(
                f,
                "{origin}: {variable} is set but not sent to this host; each client's own key is passed on. Name it in `[[upstreams.accounts.keys]]` to use it, or write `accounts = []`"
            ),
            Self::SharedKey { origin, app } => write!(
                f,
                "{origin}: the app `{app}` has the key of a provider: whoever has it can go past the limits; give the app a key of its own"
            ),
            Self::Prices { path, reason } => write!(
                f,
                "the price list {} is not used: {reason}; `sluicegate catalog update` writes it anew",
                path.display()
            ),
            Self::NoVersion { origin, asked } => write!(
                f,
                "{origin}: chats are asked for at {asked}; most providers have that below `/v1`, which then belongs to the `base_url`"
            ),
            Self::Cleartext { origin } => write!(
                f,
                "{origin}: keys travel unencrypted to another machine; `https` would protect them"
            ),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program's own `config/default.toml`.
    Default,
    /// A line of the user's file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(&'static str),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Writes one problem as it is, and several below each other.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0 {
            return write!(f, "{only}");
        }
        write!(f, "the configuration has {} problems", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Writes what was probably meant, as a continuation of a sentence.
struct DidYouMean<'a>(Option<&'a str>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => f.write_str("; `sluicegate check --defaults` shows every key"),
        }
    }
}
