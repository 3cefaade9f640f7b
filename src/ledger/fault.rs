//! Why the database cannot be used, and which one it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder is not there and cannot be made, or is none.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened for writing.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The URL does not say where it is.
    #[error("`ledger.url` is no URL of a PostgreSQL")]
    Url {
        /// What is wrong with it.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The file is something else, or was damaged.
    #[error("{place} is damaged or no database: move it away, and a new one is made")]
    Damaged {
        /// The file.
        place: Place,
    },
    /// A newer version of this program has changed it.
    #[error(
        "{place} was written by a newer version of this program: use that one, or another place"
    )]
    Newer {
        /// The database.
        place: Place,
    },
    /// There is none.
    #[error("{place} is not there: nothing was booked yet")]
    Missing {
        /// Where it would be.
        place: Place,
    },
    /// An older version of this program has made it, or none.
    #[error(
        "{place} was written by an older version of this program, or is empty: start `sluicegate` once, which \
         brings it up to date"
    )]
    Older {
        /// The database.
        place: Place,
    },
    /// Somebody else has it, and does not give it back.
    #[error("{place} is locked by another program")]
    Busy {
        /// The database.
        place: Place,
    },
    /// The server is not there; whether what was being changed is changed is not known.
    #[error("{place} cannot be reached")]
    Away {
        /// The database.
        place: Place,
        /// What happened on the way.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// Who is between us and the server gives each transaction another connection: what is prepared on one is missing
    /// on the next, and settings would be others'.
    #[error(
        "{place} is reached through a pooler that pools by transaction or statement: let it pool by session \
         (`pool_mode = session` in PgBouncer), or name the server itself"
    )]
    Pooled {
        /// The database.
        place: Place,
    },
    /// The server does not answer; whether what was being changed is changed is not known.
    #[error("{place} does not answer")]
    Silent {
        /// The database.
        place: Place,
    },
    /// The file was deleted while it was used, and what was written last with it.
    #[error("{place} was deleted")]
    Gone {
        /// The file.
        place: Place,
    },
    /// A statement failed; what it was to change is unchanged.
    #[error("{place} cannot be used")]
    Failed {
        /// The database.
        place: Place,
        /// What the database said.
        #[source]
        source: Box<sqlx::Error>,
    },
}

/// Where a database is, in words that show no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Arc<str>);

impl Place {
    /// Names it by `words`.
    pub(super) fn new(words: String) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
