//! Tells whether all that is sent is booked.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ledger::State;

/// Returns the page; of a ledger that nobody keeps, that it is not kept.
pub(super) fn json(state: Option<&State>) -> String {
    let page = Page {
        is_kept: state.is_some(),
        stores: state.is_some_and(|state| state.trouble.is_none()),
        trouble: state.and_then(|state| state.trouble.as_deref()),
        refuses: state.is_some_and(|state| state.refuses),
        open: state.map_or(0, |state| state.open),
        waiting: state.map_or(0, |state| state.waiting),
        spilled_bytes: state.map_or(0, |state| state.spilled_bytes),
        unbooked: state.map_or(0, |state| state.unbooked),
        damaged_bytes: state.map_or(0, |state| state.damaged_bytes),
    };
    // Numbers and texts cannot fail to be written.
    serde_json::to_string(&page).unwrap_or_default()
}

/// Returns what is measured of it; nothing where it is not kept.
pub(super) fn metrics(state: Option<&State>) -> String {
    let Some(state) = state else { return String::new() };
    let mut text = String::new();
    let mut write = |name: &str, kind: &str, help: &str, number: u64| {
        let total = if kind == "counter" { "_total" } else { "" };
        // Writing to a text cannot fail.
        let _written = write!(
            text,
            "# HELP sluicegate_ledger_{name} {help}.\n# TYPE sluicegate_ledger_{name} {kind}\n\
             sluicegate_ledger_{name}{total} {number}\n"
        );
    };
    let help = "Answers that went out and are booked nowhere";
    write("unbooked", "counter", help, state.unbooked);
    let help = "Entries that lie beside the database until it takes them, in bytes";
    write("spilled_bytes", "gauge", help, state.spilled_bytes);
    let help = "Bytes beside the database that could not be read, and told of entries";
    write("damaged_bytes", "counter", help, state.damaged_bytes);
    let help = "Whether the database takes what is to be booked";
    write("stores", "gauge", help, u64::from(state.trouble.is_none()));
    text
}

#[derive(Serialize)]
struct Page<'a> {
    is_kept: bool,
    /// Whether the database takes what is to be booked.
    stores: bool,
    /// Why it does not.
    trouble: Option<&'a str>,
    /// Whether requests are refused because they could not be booked.
    refuses: bool,
    /// Tries under way.
    open: usize,
    /// Entries that wait for the database in memory.
    waiting: usize,
    spilled_bytes: u64,
    unbooked: u64,
    /// Bytes beside the database that could not be read.
    damaged_bytes: u64,
}
