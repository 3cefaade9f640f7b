//! Takes over other limits while requests are under way.

use tokio::time::Instant;

use super::QuotaKind;
use super::bank::Bank;
use super::lane::Lane;
use super::learned::{Absence, LastEnd};
use super::moment::Moment;
use super::settings::LaneSettings;

impl Lane {
    /// Takes over other limits at once: what is used of them stays used. Returns whether it could. Where the
    /// provider is to be taken to count in another way, or only the configuration told a limit that is
    /// there no more, the lane is to be made [anew](Self::anew).
    pub fn relimit(&mut self, settings: &LaneSettings, now: Instant) -> bool {
        let is_taken_away = |bank: &Bank| {
            let is_named = settings.limit(bank.kind).is_some();
            !is_named && bank.told().is_none()
        };
        if !self.settings.counts_like(settings) || self.banks.iter().any(is_taken_away) {
            return false;
        }
        let now = self.time.advance(now);
        self.settings = settings.clone();
        self.slots.most = settings.concurrency.or_else(|| self.crowd.most());
        for kind in QuotaKind::COUNTED {
            let ceiling = settings.limit(kind);
            if let Some(bank) = self.banks.iter_mut().find(|bank| bank.kind == kind) {
                bank.hold_to(ceiling, now);
            } else if let Some(limit) = ceiling {
                let mut bank = self.new_bank(kind, limit, now).configured();
                bank.begin_used(0, (&self.open.charge, self.leading), now, self.grace.nanos());
                self.banks.push(bank);
            }
        }
        self.leading = self.most_likely_charging();
        true
    }

    /// Creates a lane with other settings that knows what this one learned. What is under way is taken to
    /// be used as it was expected, for it ends in this one.
    pub fn anew(&mut self, settings: LaneSettings, now: Instant) -> Self {
        let mut lane = Self::new(settings, now);
        if let Some(learned) = self.learned(now) {
            let absence = Absence { lasted: std::time::Duration::ZERO, end: LastEnd::Clean };
            lane.recall(&learned, absence, &[], now);
        }
        lane
    }
}

impl Bank {
    /// Lets the limit be what the provider told, but at most `ceiling`.
    fn hold_to(&mut self, ceiling: Option<u64>, now: Moment) {
        let told = self.told();
        self.ceiling = ceiling;
        if let Some(limit) = told.into_iter().chain(ceiling).min() {
            self.set_limit(limit, now, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::count::{Demand, Method};
    use crate::limit::{Charging, Counting, Debit, Hint, QuotaHint, Shortfall, Spare};
    use crate::units::{Requests, Tokens};

    fn tokens(limit: Option<u64>) -> LaneSettings {
        LaneSettings {
            tokens_per_minute: limit,
            charging: Some(Charging::Later),
            counting: Some(Counting::Bucket),
            ..LaneSettings::default()
        }
    }

    fn demand(tokens: u64) -> Demand {
        Demand {
            requests: Requests::ONE,
            input: Tokens::new(tokens),
            output_bound: Some(Tokens::ZERO),
            characters: 4 * tokens,
            images: 0,
            method: Method::Exact,
        }
    }

    fn reserve(lane: &mut Lane, tokens: u64, now: Instant) -> Result<Debit, Shortfall> {
        lane.try_reserve(&demand(tokens), Spare::default(), now)
    }

    /// A lane that has met its provider, which told `limit`, and of which `used` is used.
    fn met(settings: LaneSettings, limit: u64, used: u64, now: Instant) -> Lane {
        let mut lane = Lane::new(settings, now);
        let mut debit = reserve(&mut lane, used, now).expect("there is room");
        lane.sent(&mut debit, now);
        let remaining = Some(limit - used);
        let told = QuotaHint { limit, remaining, ..QuotaHint::default() };
        lane.observe(&mut debit, &Hint { tokens: Some(told), ..Hint::default() }, now);
        lane.keep(debit, now);
        lane
    }

    #[test]
    fn a_raised_limit_has_room_at_once_and_what_is_used_stays_used() {
        let now = Instant::now();
        let mut lane = met(tokens(Some(1_000)), 5_000, 900, now);
        assert!(reserve(&mut lane, 200, now).is_err());
        assert!(lane.relimit(&tokens(Some(2_000)), now));
        assert!(reserve(&mut lane, 1_200, now).is_err(), "900 of 2,000 are used");
        assert!(reserve(&mut lane, 1_000, now).is_ok());
    }

    #[test]
    fn a_lowered_limit_lets_what_is_larger_never_go() {
        let now = Instant::now();
        let mut lane = met(tokens(Some(1_000)), 5_000, 100, now);
        assert!(lane.relimit(&tokens(Some(500)), now));
        let refused = reserve(&mut lane, 600, now).expect_err("too large");
        assert!(matches!(refused, Shortfall::TooLarge { limit: 500, .. }), "{refused:?}");
        assert!(reserve(&mut lane, 450, now).is_err(), "100 of 500 are used");
        assert!(reserve(&mut lane, 350, now).is_ok());
    }

    #[test]
    fn a_limit_that_is_taken_away_gives_way_to_what_the_provider_told() {
        let now = Instant::now();
        let mut lane = met(tokens(Some(1_000)), 5_000, 900, now);
        assert!(lane.relimit(&tokens(None), now));
        assert!(reserve(&mut lane, 4_200, now).is_err(), "900 of 5,000 are used");
        assert!(reserve(&mut lane, 4_000, now).is_ok());
    }

    #[test]
    fn a_limit_that_is_added_counts_what_is_under_way() {
        let now = Instant::now();
        let requests = |most| LaneSettings { requests_per_minute: most, ..tokens(Some(5_000)) };
        let mut lane = met(requests(None), 5_000, 100, now);
        let _under_way = [100, 100].map(|tokens| reserve(&mut lane, tokens, now));
        assert!(lane.relimit(&requests(Some(3)), now));
        assert!(reserve(&mut lane, 100, now).is_ok(), "the third");
        assert!(reserve(&mut lane, 100, now).is_err(), "the fourth");
    }

    #[test]
    fn fewer_slots_hold_from_now_on() {
        let now = Instant::now();
        let slots = |most| LaneSettings { concurrency: most, ..tokens(Some(5_000)) };
        let mut lane = met(slots(Some(3)), 5_000, 100, now);
        let _under_way = [100, 100].map(|tokens| reserve(&mut lane, tokens, now));
        assert!(lane.relimit(&slots(Some(2)), now));
        assert!(matches!(reserve(&mut lane, 1, now), Err(Shortfall::AfterAnswer { .. })));
    }

    #[test]
    fn a_lane_that_counts_otherwise_is_made_anew_and_knows_what_was_used() {
        let now = Instant::now();
        let mut lane = met(tokens(Some(1_000)), 1_000, 900, now);
        let sliding = LaneSettings { counting: Some(Counting::Sliding), ..tokens(Some(1_000)) };
        assert!(!lane.relimit(&sliding, now));
        let mut lane = lane.anew(sliding, now);
        assert!(reserve(&mut lane, 200, now).is_err(), "900 of 1,000 are used");
        let later = now + Duration::from_secs(30);
        assert!(reserve(&mut lane, 200, later).is_err(), "a sliding window refills at its end");
        let over = now + Duration::from_secs(62);
        assert!(reserve(&mut lane, 200, over).is_ok());
    }

    #[test]
    fn a_limit_that_only_the_configuration_told_ends_with_a_new_lane() {
        let now = Instant::now();
        let mut lane = Lane::new(tokens(Some(1_000)), now);
        assert!(!lane.relimit(&tokens(None), now));
        assert!(reserve(&mut lane.anew(tokens(None), now), 5_000, now).is_ok());
    }
}
