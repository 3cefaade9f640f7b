//! What a request may cost in money, and whether the budgets have it.

use std::sync::Arc;

use super::errand::Errand;
use super::vigil::Vigil;
use super::visit::Visit;
use super::{Failure, Proxy};
use crate::admit::{Ask as Entering, Reservation};
use crate::budget::{Ask, Payer, Planned};
use crate::settle::{Afforded, Record};
use crate::units::Tokens;

impl Proxy {
    /// Waits until the budgets have what a request may cost; where one says so, turns it to a cheaper model.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::Unaffordable`] where a budget is against it, or time is up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future reserves nothing.
    pub(super) async fn afford(
        &self,
        visit: &mut Visit,
        errand: &mut Errand,
    ) -> Result<(), Failure> {
        let purse = &self.inner.purse;
        if purse.is_empty() || matches!(errand, Errand::Opaque(_)) {
            return Ok(());
        }
        visit.record.allowance = None;
        loop {
            match purse.afford(self.spending(&visit.record, errand), visit.deadline).await? {
                Afforded::Go(allowance) => {
                    visit.record.allowance = Some(allowance);
                    return Ok(());
                }
                // Each step leads to another model: the configuration has no circles.
                Afforded::Instead { model, .. } => {
                    visit.plan.ask_instead(visit.at, model);
                    self.turn_to(visit, errand, visit.at).await;
                }
            }
        }
    }

    /// Tells whether the budgets still let a request go that has waited for something else meanwhile.
    pub(super) fn affords_still(&self, visit: &Visit, errand: &Errand) -> bool {
        let purse = &self.inner.purse;
        if purse.is_empty() || matches!(errand, Errand::Opaque(_)) {
            return true;
        }
        let record = &visit.record;
        purse.still_allows(record.allowance.as_ref(), &self.spending(record, errand))
    }

    /// Tells whether the budgets let a websocket go on.
    pub(super) fn pays_on(&self, record: &Record) -> bool {
        let purse = &self.inner.purse;
        let ask = || Ask {
            payer: Payer { app: record.party.app.clone(), labels: record.party.labels.clone() },
            class: record.party.class,
            model: record.sent_model.clone(),
            is_movable: false,
            planned: self.planned(record),
        };
        purse.is_empty() || purse.still_allows(record.allowance.as_ref(), &ask())
    }

    /// Returns what is asked of the budgets for a request.
    fn spending(&self, record: &Record, errand: &Errand) -> Ask {
        let party = &record.party;
        Ask {
            payer: Payer { app: party.app.clone(), labels: party.labels.clone() },
            class: party.class,
            model: record.sent_model.clone(),
            is_movable: matches!(errand, Errand::Metered(_)),
            planned: self.planned(record),
        }
    }

    /// Returns what a request is going to cost: with the part of its bound that outputs of its model usually have,
    /// and with all of it.
    fn planned(&self, record: &Record) -> Planned {
        let demand = &record.demand;
        let longest = record.facts.max_output.unwrap_or(LONGEST_OUTPUT);
        let bound = demand.output_bound.unwrap_or(longest);
        let usual = self.inner.purse.usual(&record.sent_model, bound);
        let prices = Arc::clone(&self.terms().settings.prices);
        let cost = |output| record.cost(&prices, &record.counted(output)).known();
        // Images are known by their number before anybody tells of their tokens.
        let of_images = (demand.images > 0).then(|| cost(Tokens::ZERO)).flatten();
        match (of_images.or_else(|| cost(usual)), of_images.or_else(|| cost(bound))) {
            (Some(expected), Some(most)) => Planned::Priced { expected, most },
            _ => {
                let sum = |output: Tokens| (demand.input + output).count();
                Planned::Unpriced { expected: sum(usual), most: sum(bound) }
            }
        }
    }
}

/// Returns the reservation of a request whose turn has come, if keys and budgets are as they were when it was let in and
/// when it got its money; else it is put back to its old place as soon as it has its money.
pub(super) async fn may_go(
    vigil: &mut Vigil,
    errand: &mut Errand,
    (ask, reservation): (&mut Entering, Reservation),
) -> Result<Option<Reservation>, Failure> {
    let proxy = vigil.proxy.clone();
    proxy.let_in_still(&vigil.visit)?;
    if proxy.affords_still(&vigil.visit, errand) {
        return Ok(Some(reservation));
    }
    let place = Some(reservation.place());
    drop(reservation);
    vigil.wait();
    let afforded = proxy.afford(&mut vigil.visit, errand).await;
    vigil.go();
    afforded?;
    *ask = Entering { place, avoid: ask.avoid, ..proxy.ask(&vigil.visit, errand) };
    Ok(None)
}

/// The most that a model is taken to write of which nothing is known and for which no bound is stated.
const LONGEST_OUTPUT: Tokens = Tokens::new(16_384);
