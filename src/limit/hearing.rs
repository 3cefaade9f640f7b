//! What the beliefs about one quota learn from answers.

use super::bank::{Bank, bit, lane_bit};
use super::charge::Charge;
use super::hint::QuotaHint;
use super::hypothesis::{Circumstances, Hypothesis, Prediction};
use super::learned::LearnedBelief;
use super::meter::{Span, float};
use super::moment::{Moment, nanos};
use super::route;
use super::score::plausible;
use super::settings::Charging;

impl Bank {
    /// Judges every belief by what the headers of an answer say. `guesses` are the lane's predictions.
    pub(super) fn hear(
        &mut self,
        hint: &QuotaHint,
        guesses: Option<&[Prediction]>,
        left_behind: u64,
        around: &Circumstances,
    ) {
        self.learn_limit(hint.limit, around.sent, around.now);
        self.weigh_size(&around.charge);
        self.statements = self.statements.saturating_add(1);
        let looser = self.told_limit() > self.limit();
        let tokens_per_nano = float(hint.limit) / float(self.window);
        let reset = hint.reset.map(nanos);
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            if left_behind & lane_bit(self.first + i) != 0 {
                belief.begin_anew();
                continue;
            }
            let mut miss = 0.0;
            if let Some(reset) =
                reset.filter(|reset| *reset <= self.window.saturating_add(self.window / 50))
            {
                let off = belief.reset_miss(hint, reset, self.window, around);
                miss += float(off) * tokens_per_nano;
                belief.learn_end(reset, nanos(hint.reset_within), around);
            }
            let left = route::left(hint, self.window, belief.way.counting);
            let guess = guesses.and_then(|guesses| guesses.get(self.first + i));
            if let Some((left, guess)) = left.zip(guess) {
                miss += belief.judge(self.kind, (guess, left), looser, around);
            }
            belief.score.take(miss / self.size.max(1.0));
        }
        self.weigh(ENOUGH);
    }

    /// Judges every belief by what an answer without headers shows: that so much was left.
    pub(super) fn hear_left(
        &mut self,
        left: impl Fn(&Hypothesis) -> Option<Span>,
        guesses: &[Prediction],
        left_behind: u64,
        around: &Circumstances,
    ) {
        self.weigh_size(&around.charge);
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            let Some(left) = left(belief) else { continue };
            let Some(guess) = guesses.get(self.first + i) else { continue };
            if left_behind & lane_bit(self.first + i) == 0 {
                // `left` is as if it had been counted.
                let counted = Circumstances { refused: false, ..*around };
                let miss = belief.judge(self.kind, (guess, left), false, &counted);
                belief.score.take(miss / self.size.max(1.0));
            }
        }
        self.contradicted |= around.refused;
        // Without headers answers say little: until a refusal the likeliest holds, not the strictest.
        match (self.statements, self.contradicted) {
            (0, false) => self.mask = bit(self.best),
            (0, true) => self.weigh(0),
            _ => self.weigh(ENOUGH),
        }
    }

    /// Takes over a limit that the answer to a request sent at `since` told. What was configured is
    /// not exceeded.
    pub(super) fn learn_limit(&mut self, told: u64, since: Moment, now: Moment) {
        self.told = Some(told);
        let limit = self.ceiling.map_or(told, |ceiling| told.min(ceiling));
        if limit != self.limit() {
            for belief in &mut self.beliefs {
                belief.set_limit(limit, since, self.window, now);
            }
        }
    }

    /// Takes over how well each belief did before.
    pub(super) fn recall(&mut self, learned: &[LearnedBelief]) {
        for belief in &mut self.beliefs {
            let score = learned.iter().find_map(|learned| learned.score_of(belief.way));
            belief.score = score.unwrap_or_default();
        }
        if !learned.is_empty() {
            self.weigh(ENOUGH);
        }
    }

    fn weigh_size(&mut self, charge: &Charge) {
        let size = float(charge.of(self.kind, Charging::Refund));
        self.size += if self.size == 0.0 { size } else { 0.1 * (size - self.size) };
    }

    fn weigh(&mut self, enough: u32) {
        let scores = self.beliefs.iter().map(|belief| belief.score);
        self.mask = plausible(scores, enough).max(1);
        let misses = self.beliefs.iter().map(|belief| belief.score.miss()).enumerate();
        let best = misses.reduce(|best, next| if next.1 < best.1 { next } else { best });
        self.best = best.map_or(0, |(i, _)| i);
    }
}

/// With fewer answers seen than this, every belief is plausible.
const ENOUGH: u32 = 5;
