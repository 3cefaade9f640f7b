//! Reads `[ledger]`.

use super::check::{check_home, resolve};
use super::raw::RawValue;
use super::section::{Check, FromRaw, Section};
use super::settings::{Durability, LedgerSettings, WhenFull};

/// Reads the section; `None` only if `check` has a problem to show for it.
pub(super) fn ledger(mut section: Section, check: &mut Check<'_>) -> Option<LedgerSettings> {
    let durability = section.require("durability", check);
    let when_full = section.require("when_full", check);
    let spill_dir = section.take::<String>("spill_dir", check);
    if let Some(folder) = &spill_dir {
        check_home(folder, section.path_of("spill_dir"), check);
    }
    section.finish(check);
    Some(LedgerSettings {
        durability: durability?.value,
        when_full: when_full?.value,
        spill_dir: spill_dir.map(|folder| resolve(&folder.value, &folder.origin)),
    })
}

impl FromRaw for Durability {
    const RULE: &'static str = "must be \"strict\", \"fsync\" or \"relaxed\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "strict" => Some(Self::Strict),
            "fsync" => Some(Self::Fsync),
            "relaxed" => Some(Self::Relaxed),
            _ => None,
        }
    }
}

impl FromRaw for WhenFull {
    const RULE: &'static str = "must be \"refuse\" or \"go_on\"";

    fn from_raw(value: &RawValue) -> Option<Self> {
        match value.as_text()? {
            "refuse" => Some(Self::Refuse),
            "go_on" => Some(Self::GoOn),
            _ => None,
        }
    }
}
