//! Reads the environment and the files that a configuration asks for.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use directories::BaseDirs;

use crate::config::{self, ConfigError, FileText, Flags, Loaded, Outside};

/// Loads the configuration of this process.
///
/// # Errors
///
/// Returns what [`config::load`] returns.
pub(super) fn load(flags: &Flags) -> Result<Loaded, ConfigError> {
    let folders = BaseDirs::new();
    let outside = Outside {
        env: &|name| std::env::var_os(name),
        read: &read,
        config_dir: folders.as_ref().map(|folders| folders.config_dir().join("sluicegate")),
        data_dir: folders.as_ref().map(|folders| folders.data_local_dir().join("sluicegate")),
    };
    config::load(flags, &outside)
}

fn read(path: &Path) -> io::Result<FileText> {
    let file = File::open(path)?;
    let open_to_others = is_open_to_others(&file.metadata()?);
    let mut text = String::new();
    let length = file.take(MOST_READ + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= MOST_READ) {
        return Ok(FileText { text, open_to_others });
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 8 MiB"))
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.is_file() && metadata.permissions().mode() & 0o077 != 0
}

/// Other systems keep access lists, which their own tools tell of.
#[cfg(not(unix))]
fn is_open_to_others(_metadata: &Metadata) -> bool {
    false
}

/// The largest file that is read, in bytes: a list of all models' prices has about one million.
const MOST_READ: u64 = 8 << 20;
