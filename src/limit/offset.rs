//! Where the provider's level may lie beside ours, as an interval that answers narrow.
//!
//! # What this module owns
//!
//! [`Offset`]: at least and at most so much more than our meter says is left at the provider. Every
//! answer gives such an interval; what holds in all of them is certain, as long as nobody else
//! changes the level. Where two exclude each other, somebody did (or the belief is wrong): the new
//! one counts alone.
//!
//! # Invariants
//!
//! 1. Our level is the lowest that the answers allow: the meter is moved to the lower end at once,
//!    downward and upward.

use super::meter::Span;

/// At least and at most so much more than our meter says is left at the provider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offset {
    held: Span,
}

impl Default for Offset {
    /// The provider is where our meter is.
    fn default() -> Self {
        Self { held: Span { least: 0.0, most: 0.0 } }
    }
}

/// What an answer's interval changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The distance to what was known, negative below it; zero where both can be true.
    pub(super) gap: f64,
    /// By how much the meter is to be moved.
    pub(super) by: f64,
}

impl Offset {
    /// Takes in an answer's interval.
    pub(super) fn take(&mut self, told: Span) -> Found {
        let both =
            Span { least: self.held.least.max(told.least), most: self.held.most.min(told.most) };
        let gap = if both.least - both.most < TOKEN {
            let (least, most) = (both.least.min(both.most), both.least.max(both.most));
            self.held = Span { least, most };
            0.0
        } else if told.most < self.held.least {
            let gap = told.most - self.held.least;
            self.held = told;
            gap
        } else {
            let gap = told.least - self.held.most;
            self.held = told;
            gap
        };
        // Where nothing bounds it from below, it is not above the upper end.
        let lowest =
            if self.held.least.is_finite() { self.held.least } else { self.held.most.min(0.0) };
        let by = lowest.floor();
        self.held = Span { least: self.held.least - by, most: self.held.most - by };
        Found { gap, by }
    }

    /// Returns at least and at most so much more than our meter says is left.
    pub(super) fn held(&self) -> Span {
        self.held
    }

    /// Takes in that up to `tokens` of what our meter counts may not be used at the provider, or may be
    /// counted twice here.
    pub(super) fn widen(&mut self, tokens: f64) {
        self.held.most += tokens;
    }

    /// Forgets what was known: both are taken to be level.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Meters move by whole tokens, and a full one forgets the rest: what is less apart excludes nothing.
const TOKEN: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn span(least: f64, most: f64) -> Span {
        Span { least, most }
    }

    #[test]
    fn what_agrees_is_narrowed_and_the_lower_end_holds_at_once() {
        let mut offset = Offset::default();
        assert_eq!(offset.take(span(-700.0, 300.0)), Found { gap: 0.0, by: 0.0 }, "as believed");
        assert_eq!(offset.take(span(-900.0, -600.0)).by, -900.0, "down at once");
        assert_eq!(offset.take(span(100.0, 700.0)), Found { gap: 0.0, by: 100.0 }, "up, too");
        assert_eq!(offset.take(span(-50.0, 90.0)), Found { gap: 0.0, by: 0.0 }, "0 to 90 are left");
        assert_eq!(offset.take(span(91.0, 200.0)).gap, 1.0, "which excludes 91");
    }

    #[test]
    fn what_may_be_counted_twice_is_no_contradiction() {
        let mut offset = Offset::default();
        offset.widen(500.0);
        assert_eq!(offset.take(span(300.0, 400.0)), Found { gap: 0.0, by: 300.0 });
        assert_eq!(offset.take(span(150.0, 200.0)).gap, 50.0, "by more than that");
    }

    #[test]
    fn less_than_a_token_is_no_contradiction() {
        let mut offset = Offset::default();
        assert_eq!(offset.take(span(58.9, 300.0)).by, 58.0, "0.9 remain");
        assert_eq!(offset.take(span(-515.0, 0.3)), Found { gap: 0.0, by: 0.0 }, "filled up since");
    }

    #[test]
    fn without_a_lower_end_only_the_way_down_is_certain() {
        let mut offset = Offset::default();
        assert_eq!(offset.take(span(f64::NEG_INFINITY, 5.0)).by, 0.0);
        assert_eq!(offset.take(span(f64::NEG_INFINITY, -5.0)).by, -5.0);
    }
}
