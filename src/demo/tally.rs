//! What an app has seen of its requests.

use std::time::Duration;

/// The counts of one app.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Requests that wait or are under way.
    pub(super) open: u64,
    /// Requests answered as asked.
    pub(super) done: u64,
    /// Requests answered with 429.
    pub(super) refused: u64,
    /// Requests that ended in any other way.
    pub(super) failed: u64,
    /// Input and output as the answers told them.
    pub(super) tokens: u64,
    /// The time that the answers to requests done took, waiting not included.
    pub(super) served: Duration,
    /// How long each answered request waited, in milliseconds.
    waits: Vec<u32>,
}

/// How long an answered request took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Waiting in line.
    pub(super) waited: Duration,
    /// In all.
    pub(super) total: Duration,
}

impl Tally {
    /// Notes an answer with so many tokens.
    pub(super) fn answered(&mut self, tokens: u64, times: Times) {
        self.done += 1;
        self.tokens += tokens;
        self.served += times.total.saturating_sub(times.waited);
        self.waits.push(u32::try_from(times.waited.as_millis()).unwrap_or(u32::MAX));
    }

    /// Returns the waits in milliseconds that 50 and 99 of 100 requests stayed within.
    pub(super) fn waited(&self) -> (u64, u64) {
        let mut waits = self.waits.clone();
        (rank(&mut waits, 50), rank(&mut waits, 99))
    }
}

/// Returns the smallest of `values` that `percent` of them do not exceed; 0 of none.
fn rank(values: &mut [u32], percent: usize) -> u64 {
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    if values.is_empty() { 0 } else { u64::from(*values.select_nth_unstable(at).1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_all_but_a_hundredth_of_the_waits_stay_within_what_is_told() {
        let mut tally = Tally::default();
        assert_eq!(tally.waited(), (0, 0));
        for millis in (1..=200).rev() {
            let waited = Duration::from_millis(millis);
            tally.answered(3, Times { waited, total: waited + Duration::from_millis(10) });
        }
        assert_eq!(tally.waited(), (100, 198));
        assert_eq!((tally.tokens, tally.served), (600, Duration::from_secs(2)));
    }
}
