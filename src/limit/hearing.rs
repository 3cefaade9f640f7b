//! What the beliefs about one quota learn from answers.

use super::QuotaKind;
use super::arithmetic::Arithmetic;
use super::bank::{Bank, bit, lane_bit};
use super::charge::Charge;
use super::debit::MOST_TOLD;
use super::hint::QuotaHint;
use super::hypothesis::{Circumstances, Hypothesis, Prediction};
use super::learned::LearnedBelief;
use super::meter::{Span, float};
use super::moment::{Moment, nanos};
use super::route;
use super::score::{CLOSE, plausible};
use super::settings::{Charging, Counting};

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
        if hint.remaining.is_none() && hint.reset.is_none() {
            return; // Nothing that could contradict a belief.
        }
        self.weigh_size(&around.charge);
        self.statements = self.statements.saturating_add(1);
        self.has_ends |= hint.reset.is_some();
        let looser = self.told_limit() > self.limit();
        let tokens_per_nano = float(hint.limit) / float(self.window);
        let reset = hint.reset.map(nanos);
        let size = self.size.max(1.0);
        let mut found = [(0.0, 0.0); MOST_TOLD];
        for (i, (belief, found)) in self.beliefs.iter_mut().zip(&mut found).enumerate() {
            let (mut miss, mut width) = (0.0, f64::INFINITY);
            if let Some(reset) =
                reset.filter(|reset| *reset <= self.window.saturating_add(self.window / 50))
            {
                let off = belief.reset_miss(hint, reset, self.window, around);
                miss += float(off) * tokens_per_nano;
                belief.learn_end(reset, nanos(hint.reset_within), around);
            }
            let left = route::left(hint, self.window, belief.way.counting);
            let guess = guesses.and_then(|guesses| guesses.get(self.first + i));
            // What it says of a window that has ended since is of no use, but for that end.
            let present = left_behind & lane_bit(self.first + i) == 0;
            match (left.filter(|_| present), guess) {
                (Some(left), Some(guess)) => {
                    let judged = belief.judge(self.kind, (guess, left), looser, around);
                    miss += judged.miss;
                    width = judged.width;
                }
                (Some(left), None) => {
                    miss += belief.surplus(self.kind, (hint.limit, left), around);
                }
                (None, _) => {}
            }
            *found = (miss / size, width / size);
        }
        // By how much the answer is off to the plausible belief that it contradicts most.
        let judged = found.iter().take(self.beliefs.len()).enumerate();
        let plausible = judged.filter(|(i, _)| self.mask & bit(*i) != 0);
        let rivals = plausible.map(|(_, (miss, _))| *miss).fold(0.0, f64::max);
        for (belief, (miss, width)) in self.beliefs.iter_mut().zip(found) {
            belief.score.take(miss, width, rivals);
        }
        self.weigh(ENOUGH);
    }

    /// Judges every belief by what an answer without headers shows: that so much was left, and when
    /// what was missing will be there.
    pub(super) fn hear_left(
        &mut self,
        left: impl Fn(&Hypothesis) -> Option<Span>,
        said: Option<&Arithmetic>,
        (guesses, left_behind): (&[Prediction], u64),
        around: &Circumstances,
    ) {
        self.weigh_size(&around.charge);
        self.has_ends |= said.is_some_and(|said| said.retry.is_some() && !said.has_resets);
        let tokens_per_nano = float(self.limit()) / float(self.window);
        for (i, belief) in self.beliefs.iter_mut().enumerate() {
            let Some(left) = left(belief) else { continue };
            if left_behind & lane_bit(self.first + i) != 0 {
                continue;
            }
            let size = self.size.max(1.0);
            let (mut miss, mut width) = (0.0, f64::INFINITY);
            if let Some(guess) = guesses.get(self.first + i) {
                // `left` is as if it had been counted.
                let counted = Circumstances { refused: false, ..*around };
                let judged = belief.judge(self.kind, (guess, left), false, &counted);
                (miss, width) = (judged.miss, judged.width);
                let late = said.map_or(0, |said| belief.wait_miss(said, self.window, around));
                miss += float(late) * tokens_per_nano;
            }
            let charging = belief.charging(around.leading);
            if said.is_some_and(|said| !said.may_be(charging, &around.charge)) {
                miss += size;
            }
            belief.score.take(miss / size, width / size, 0.0);
        }
        self.weigh_silent(around.refused);
    }

    /// Judges every belief by what a refusal says its request would have been charged, where it says nothing
    /// of the level: it is larger than the limit.
    pub(super) fn hear_requested(&mut self, said: &Arithmetic, around: &Circumstances) {
        for belief in &mut self.beliefs {
            let may_be = said.may_be(belief.charging(around.leading), &around.charge);
            belief.score.take(if may_be { 0.0 } else { 1.0 }, f64::INFINITY, 0.0);
        }
        self.weigh_silent(true);
    }

    /// Says anew which beliefs are plausible, after an answer that may have told them apart without headers.
    fn weigh_silent(&mut self, refused: bool) {
        if self.statements > 0 {
            return self.weigh(ENOUGH);
        }
        self.contradicted |= refused;
        self.mask = u32::MAX;
        self.weigh(0);
        if self.kind == QuotaKind::TokensPerMinute || !self.contradicted {
            self.hold_to_likeliest();
        }
    }

    /// Takes over a limit that the answer to a request sent at `since` told. What was configured is
    /// not exceeded.
    pub(super) fn learn_limit(&mut self, told: u64, since: Moment, now: Moment) {
        self.told = Some(told);
        self.set_limit(self.ceiling.map_or(told, |ceiling| told.min(ceiling)), since, now);
    }

    /// Lets every belief go by another limit, which holds for what was sent from `since` on.
    pub(super) fn set_limit(&mut self, limit: u64, since: Moment, now: Moment) {
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
            self.mask = u32::MAX;
            self.weigh(ENOUGH);
        }
    }

    /// Where no headers tell: leaves out who charges otherwise than the likeliest, because who is too
    /// strict is never proved wrong then. Until a refusal the likeliest alone holds.
    fn hold_to_likeliest(&mut self) {
        let likeliest = bit(self.best);
        let Some(charging) = self.likeliest().map(|belief| belief.way.charging) else { return };
        let alike = |belief: &Hypothesis| belief.way.charging == charging;
        let alike = self.beliefs.iter().enumerate().filter(|(_, belief)| alike(belief));
        let alike = alike.fold(0, |mask, (i, _)| mask | bit(i));
        let refuted = self.contradicted;
        self.mask = likeliest | if refuted { self.mask & alike & self.testable() } else { 0 };
    }

    /// Returns a bit for each belief that answers can refute. A window whose end nobody tells, be it by
    /// when to come back or by a reset, is held like a sliding one, and predicts nothing that could prove wrong.
    fn testable(&self) -> u32 {
        let ends = |belief: &Hypothesis| belief.way.counting == Counting::Fixed;
        if self.has_ends || self.beliefs.iter().all(ends) {
            return u32::MAX;
        }
        let others = self.beliefs.iter().enumerate().filter(|(_, belief)| !ends(belief));
        others.fold(0, |mask, (i, _)| mask | bit(i))
    }

    fn weigh_size(&mut self, charge: &Charge) {
        let size = float(charge.of(self.kind, Charging::Refund));
        self.size += if self.size == 0.0 { size } else { 0.1 * (size - self.size) };
    }

    fn weigh(&mut self, enough: u32) {
        let testable = self.testable();
        // Where headers tell levels, who cannot be wrong is not right for that.
        let judged = if self.statements > 0 { testable } else { u32::MAX };
        let scores = self.beliefs.iter().enumerate().map(|(place, belief)| {
            if judged & bit(place) != 0 { belief.score } else { belief.score.untested() }
        });
        self.mask = plausible(scores, enough, self.mask).max(1);
        let missed = |place: usize| self.beliefs.get(place).map_or(f64::MAX, |of| of.score.miss());
        let rivals = || (0..self.beliefs.len()).filter(|place| testable & bit(*place) != 0);
        let least = rivals().map(missed).fold(f64::MAX, f64::min);
        // Who was the best stays it until another is clearly better.
        if testable & bit(self.best) != 0 && missed(self.best) <= least + CLOSE {
            return;
        }
        // One thing is refuted at a time: how it counts, or how it charges.
        let charging = |place: usize| self.beliefs.get(place).map(|belief| belief.way.charging);
        let differs = |place: &usize| charging(*place) != charging(self.best);
        let close = rivals().filter(|place| missed(*place) <= least + CLOSE);
        self.best = close.min_by_key(differs).unwrap_or(self.best);
    }
}

/// With fewer answers seen than this, every belief is plausible.
pub(super) const ENOUGH: u32 = 5;
