//! How long nothing goes after a refusal, and who finds out whether more goes sooner.
//!
//! # What this module owns
//!
//! [`Hold`]: nothing goes before the provider said. Where its refusal told the level, our levels may have
//! room before that: what is under way gives back, and a provider that says when it would fit does not
//! count on it. Then one request at a time tries, and the pause doubles with each that is refused.

use super::QuotaKind;
use super::lane::Wait;
use super::moment::Moment;

/// What holds a lane back after a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    quota: QuotaKind,
    until: Moment,
    /// Since when.
    since: Moment,
    /// One may try from here on.
    tries: Moment,
    /// How long that took.
    pause: u64,
    /// Whether one does.
    trying: bool,
}

impl Hold {
    /// Creates one for want of `quota` until `until`, without tries.
    pub(super) fn new(quota: QuotaKind, until: Moment, now: Moment) -> Self {
        Self { quota, until, since: now, tries: until, pause: 0, trying: false }
    }

    /// Lets one at a time try, the first of them after `pause`.
    pub(super) fn with_tries(self, pause: u64) -> Self {
        Self { tries: self.since.plus(pause).min(self.until), pause, ..self }
    }

    /// Returns the hold after another refusal, of a request that was let go at `granted`.
    pub(super) fn refused_again(self, next: Self, granted: Moment) -> Self {
        let until = self.until.max(next.until);
        if granted < self.since {
            // It was let go before this began.
            return Self { until, ..self };
        }
        if next.pause == 0 {
            return Self { until, tries: until, ..next };
        }
        Self { until, ..next }.with_tries(self.pause.saturating_mul(2).max(next.pause))
    }

    /// Returns until when nothing may go; `None` where something may.
    pub(super) fn wait(&self, now: Moment) -> Option<Wait> {
        let at = if self.trying { self.until } else { self.tries };
        Some(Wait { at, quota: self.quota }).filter(|wait| wait.at > now)
    }

    /// Notes that a request goes. Returns the try that it is, if it is one.
    pub(super) fn goes(&mut self, now: Moment) -> Option<Try> {
        let tries = now < self.until;
        self.trying |= tries;
        tries.then_some(Try(self.since))
    }

    /// Notes that a try is over, of this hold or of an older one.
    pub(super) fn tried(&mut self, tried: Try) {
        self.trying &= !self.is_of(tried);
    }

    /// Tells whether this is the hold that was tried.
    pub(super) fn is_of(&self, tried: Try) -> bool {
        tried == Try(self.since)
    }

    /// Returns until when it lasts, and for want of what.
    pub(super) fn end(&self) -> (QuotaKind, Moment) {
        (self.quota, self.until)
    }
}

/// A request that tries how far a hold is true: of the hold that began then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try(Moment);

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: QuotaKind = QuotaKind::TokensPerMinute;

    fn opens(hold: &Hold, now: u64) -> Option<u64> {
        hold.wait(Moment(now)).map(|wait| wait.at.0)
    }

    #[test]
    fn one_at_a_time_tries_after_pauses_that_double() {
        let refused = |now| Hold::new(QUOTA, Moment(60), Moment(now)).with_tries(1);
        let mut hold = refused(0);
        assert_eq!(opens(&hold, 0), Some(1));
        let tried = hold.goes(Moment(1)).expect("it tries");
        assert_eq!(opens(&hold, 2), Some(60), "who tries is alone");
        hold.tried(tried);
        hold = hold.refused_again(refused(2), Moment(1));
        assert_eq!(opens(&hold, 2), Some(4));
        hold = hold.refused_again(refused(3), Moment(0));
        assert_eq!(opens(&hold, 2), Some(4), "it was under way before");
        assert_eq!(opens(&hold, 4), None);
    }

    #[test]
    fn a_try_of_an_older_hold_that_ends_late_frees_no_newer_one() {
        let mut older = Hold::new(QUOTA, Moment(10), Moment(0)).with_tries(1);
        let late = older.goes(Moment(1)).expect("it tries");
        let mut newer = Hold::new(QUOTA, Moment(60), Moment(20)).with_tries(1);
        let tried = newer.goes(Moment(21)).expect("it tries");
        newer.tried(late);
        assert_eq!(opens(&newer, 22), Some(60), "who tries is alone");
        assert!(!newer.is_of(late));
        newer.tried(tried);
        assert_eq!(opens(&newer, 22), None);
    }

    #[test]
    fn without_levels_nobody_tries() {
        let hold = Hold::new(QUOTA, Moment(60), Moment(0));
        assert_eq!(opens(&hold, 59), Some(60));
        assert_eq!(opens(&hold, 60), None);
    }
}
