//! How much of the quota was used while somebody waited; defined in the documentation of
//! [`super`].
//!
//! # Invariants
//!
//! 1. The figure comes from the provider's meters alone; the line only says which time counts.

use std::time::Duration;

use crate::simulate::engine::{LaneStats, Metric, Reading};

/// One lane's use of its tokens, between the first and the last moment at which somebody waited.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The organisation and the model.
    pub(super) lane: (String, String),
    /// Tokens per window.
    pub(super) limit: u64,
    /// The length of the window.
    pub(super) window: Duration,
    ends: Option<(Reading, Reading)>,
}

/// Tokens that were there to be used, and tokens charged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Use {
    /// Level at the first moment and refill until the last.
    pub(super) there: f64,
    /// Debits less refunds; reserves under way are in it.
    pub(super) charged: f64,
}

/// Follows all lanes.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans {
    spans: Vec<Span>,
}

impl Spans {
    /// Takes in where the meters stand while there is somebody waiting for `waited_for`.
    pub(super) fn look(&mut self, lanes: &[LaneStats], waited_for: impl Fn(&str) -> bool) {
        for lane in lanes {
            let Some(now) = tokens_per_minute(lane) else { continue };
            let span = self.span(lane, &now);
            if waited_for(&lane.lane) {
                let first = span.ends.map_or(now, |(first, _)| first);
                span.ends = Some((first, now));
            }
        }
    }

    /// Returns each lane that has a limit of tokens, by model and organisation.
    pub(super) fn lanes(&self) -> &[Span] {
        &self.spans
    }

    /// Returns the use of all lanes; `None` where nobody waited.
    pub(super) fn used(&self) -> Option<f64> {
        let uses = self.spans.iter().filter_map(Span::usage);
        let sum = uses.fold(Use::default(), |sum, next| Use {
            there: sum.there + next.there,
            charged: sum.charged + next.charged,
        });
        sum.share()
    }

    fn span(&mut self, lane: &LaneStats, now: &Reading) -> &mut Span {
        let name = (lane.organisation.to_string(), lane.lane.to_string());
        let key = |lane: &(String, String)| (lane.1.clone(), lane.0.clone());
        let at = match self.spans.binary_search_by_key(&key(&name), |span| key(&span.lane)) {
            Ok(at) => at,
            Err(at) => {
                self.spans.insert(
                    at,
                    Span { lane: name, limit: now.limit, window: now.window, ends: None },
                );
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or inserted just above")]
        &mut self.spans[at]
    }
}

impl Span {
    /// Returns what was there and what was charged; `None` where nobody waited, and where one
    /// moment is all there is: nothing could be used in it.
    pub(super) fn usage(&self) -> Option<Use> {
        let (first, last) = self.ends.filter(|(first, last)| first.refill < last.refill)?;
        #[expect(clippy::cast_precision_loss, reason = "a demo's tokens stay far below 2^52")]
        let charged = (last.charged - first.charged) as f64;
        Some(Use { there: first.level + last.refill - first.refill, charged })
    }
}

impl Use {
    /// Returns the share that was charged; `None` of nothing.
    pub(super) fn share(self) -> Option<f64> {
        (self.there > 0.0).then(|| self.charged / self.there)
    }
}

/// Returns where the lane's meter of tokens per minute stands.
pub(super) fn tokens_per_minute(lane: &LaneStats) -> Option<Reading> {
    let tokens = lane.meters.iter().find(|meter| meter.metric == Metric::TokensPerMinute)?;
    Some(tokens.reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::engine::{MeterStats, Tally};

    fn lane(name: &str, level: f64, refill: f64, charged: i64) -> LaneStats {
        let reading = Reading {
            limit: 600,
            window: Duration::from_secs(60),
            level_at_start: 600.0,
            level,
            refill,
            cut_off: 0.0,
            charged,
            most_used: 0,
        };
        LaneStats {
            organisation: "org".into(),
            lane: name.into(),
            in_flight: 0,
            held: 0,
            meters: vec![MeterStats { metric: Metric::TokensPerMinute, reading }],
            tally: Tally::default(),
        }
    }

    #[test]
    fn what_stays_in_the_meter_while_somebody_waits_was_not_used() {
        let mut spans = Spans::default();
        spans.look(&[lane("m", 600.0, 0.0, 0)], |_| false);
        assert_eq!(spans.used(), None, "nobody has waited");
        spans.look(&[lane("m", 100.0, 10.0, 510)], |_| true);
        assert_eq!(spans.used(), None, "a moment is no time");
        spans.look(&[lane("m", 60.0, 410.0, 950)], |_| true);
        spans.look(&[lane("m", 600.0, 1000.0, 1000)], |_| false);
        // 100 were there and 400 came; 440 were charged and 60 were left.
        assert_eq!(spans.used(), Some(0.88));
    }

    #[test]
    fn a_pause_between_two_waits_counts_and_a_lane_of_another_model_does_not() {
        let mut spans = Spans::default();
        for (level, refill, charged, waits) in
            [(0.0, 0.0, 600, true), (300.0, 300.0, 600, false), (0.0, 300.0, 900, true)]
        {
            let lanes = [lane("m", level, refill, charged), lane("idle", 600.0, refill, 0)];
            spans.look(&lanes, |model| waits && model == "m");
        }
        assert_eq!(spans.used(), Some(1.0));
        spans.look(&[lane("m", 300.0, 600.0, 900)], |_| true);
        assert_eq!(spans.used(), Some(0.5), "refill that nobody was given counts as unused");
    }
}
