//! A part of a quota that is left unused after surprises.

use super::moment::Moment;

/// A part of the quota that is left unused after surprises. It costs its size once, not per minute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Margin {
    amount: u64,
    since: Moment,
    surprised: bool,
}

impl Margin {
    /// Raises it by `amount` after a refusal that nobody predicted.
    pub(super) fn surprised(&mut self, amount: u64, limit: u64, minute: u64, now: Moment) {
        let raised = self.at(limit, minute, now).saturating_add(amount);
        *self = Self { amount: raised.min(limit / 20), since: now, surprised: true };
    }

    /// Returns the margin at `now`: halved every minute, but a thousandth of the limit stays.
    pub(super) fn at(&self, limit: u64, minute: u64, now: Moment) -> u64 {
        if !self.surprised {
            return 0;
        }
        let halvings = now.since(self.since) / minute.max(1);
        let left = self.amount.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX));
        left.unwrap_or(0).max(limit / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_grows_by_surprises_and_is_halved_every_minute() {
        let (limit, minute) = (10_000, 60);
        let mut margin = Margin::default();
        assert_eq!(margin.at(limit, minute, Moment(0)), 0, "who was never surprised has none");
        margin.surprised(200, limit, minute, Moment(0));
        margin.surprised(200, limit, minute, Moment(0));
        let at = |now| margin.at(limit, minute, Moment(now));
        assert_eq!([0, 59, 60, 120, 180, 6_000].map(at), [400, 400, 200, 100, 50, 10]);
        margin.surprised(5_000, limit, minute, Moment(0));
        assert_eq!(margin.at(limit, minute, Moment(0)), 500, "a twentieth at most");
    }
}
