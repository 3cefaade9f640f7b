//! Whether what was granted may still go, when its turn has come for other reasons.

use std::time::Duration;

use super::answer::{Ask, Hold, Ticket};
use super::book::{Budgets, Turn, Verdict};

impl Budgets {
    /// Tells whether a request that was granted `hold` may go now as `ask` says: nothing is against it that was not
    /// then. What is short only by what others have reserved is not: it has its own reserved.
    ///
    /// Else it is to [release](Self::release) that and to [ask](Self::ask) again: a budget has come to its mark, is
    /// new or counts others, or the request goes to another model.
    pub fn still(&mut self, hold: Option<&Hold>, ask: &Ask, now: Duration) -> bool {
        self.roll(now);
        let hold = hold.filter(|hold| hold.model == ask.model);
        self.each.iter().filter(|budget| budget.belongs(&ask.payer)).all(|budget| {
            let has_part = |hold: &Hold| hold.parts.iter().any(|part| part.budget == budget.id);
            // As if it were the first of those who wait.
            let verdict = budget.judge(ask, Turn::Is(Ticket(0)));
            hold.is_some_and(has_part) && matches!(verdict, Verdict::Fits(_) | Verdict::Lacks)
        })
    }
}
