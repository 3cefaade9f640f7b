//! What a lane tells of itself without changing: headroom, when a queue will have gone, levels.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::Lane;
use super::meter::float;
use super::moment::Moment;
use super::quota::Quota;
use super::{QuotaKind, QuotaLevel};

impl Lane {
    /// Returns the least headroom of all quotas as a share of their limits; 1 is full, negative is
    /// debt.
    pub fn headroom(&self, now: Instant) -> f64 {
        let now = self.time.peek(now);
        let slots = self
            .settings
            .concurrency
            .map(|slots| float(slots.saturating_sub(self.open.count)) / float(slots.max(1)));
        let shares = self.quotas.iter().map(|quota| {
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
            let room = self.room(quota, now) as f64;
            room / float(quota.meter.limit())
        });
        shares.chain(slots).fold(1.0, f64::min)
    }

    /// Returns the state of every quota.
    pub fn levels(&self, now: Instant) -> Vec<QuotaLevel> {
        let now = self.time.peek(now);
        let meters = self.quotas.iter().map(|quota| QuotaLevel {
            quota: quota.kind,
            limit: Some(quota.meter.limit()),
            headroom: self.room(quota, now),
            reset: Duration::from_nanos(quota.meter.full_at(now, self.grace.nanos()).since(now)),
        });
        let slots = self.settings.concurrency.map(|slots| QuotaLevel {
            quota: QuotaKind::Concurrency,
            limit: Some(slots),
            headroom: i64::try_from(slots.saturating_sub(self.open.count)).unwrap_or(i64::MAX),
            reset: Duration::ZERO,
        });
        meters.chain(slots).collect()
    }

    /// Returns what could be debited: what is left less what is reserved for output to come.
    fn room(&self, quota: &Quota, now: Moment) -> i64 {
        let room = quota.meter.room(now, self.grace.nanos());
        if self.tariff.charges_later(quota.kind) {
            room.saturating_sub_unsigned(self.pool.reserve())
        } else {
            room
        }
    }

    /// Returns the length of a quota's window.
    pub(super) fn window(&self, kind: QuotaKind) -> Duration {
        if kind.is_daily() { self.settings.day } else { self.settings.minute }
    }
}
