//! Requests that wait inside the simulator, in the order of their arrival.

use std::collections::{BTreeMap, HashMap};

use super::charge::Cost;

/// Requests in the order of their numbers.
type Line = BTreeMap<u64, Cost>;

/// The first request of a line.
#[derive(Debug)]
pub(super) struct Head {
    /// The lanes it may use.
    pub(super) lanes: Vec<usize>,
    /// Its number.
    pub(super) number: u64,
    /// What it costs.
    pub(super) cost: Cost,
}

/// The lines of requests that wait for the same lanes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Vec<usize>, Line>,
    where_is: HashMap<u64, Vec<usize>>,
    next: u64,
}

impl Lines {
    /// Adds a request that may use `lanes`, and returns its number.
    pub(super) fn join(&mut self, lanes: Vec<usize>, cost: Cost) -> u64 {
        let number = self.next;
        self.next += 1;
        self.lines.entry(lanes.clone()).or_default().insert(number, cost);
        self.where_is.insert(number, lanes);
        number
    }

    /// Takes a request out, wherever it stands.
    pub(super) fn leave(&mut self, number: u64) {
        let Some(lanes) = self.where_is.remove(&number) else {
            return;
        };
        if let Some(line) = self.lines.get_mut(&lanes) {
            line.remove(&number);
            if line.is_empty() {
                self.lines.remove(&lanes);
            }
        }
    }

    /// Returns the first request of every line, in order of arrival.
    pub(super) fn heads(&self) -> Vec<Head> {
        let mut heads: Vec<Head> = Vec::with_capacity(self.lines.len());
        for (lanes, line) in &self.lines {
            if let Some((number, cost)) = line.first_key_value() {
                heads.push(Head { lanes: lanes.clone(), number: *number, cost: *cost });
            }
        }
        heads.sort_unstable_by_key(|head| head.number);
        heads
    }

    /// Lets everybody go. Numbers go on, so that whoever still holds an old one means nobody else.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.where_is.clear();
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.where_is.len()
    }
}
