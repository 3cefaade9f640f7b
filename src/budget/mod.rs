//! What may be spent: money by calendar periods, reserved when a request goes and booked when it is settled.
//!
//! # What this module owns
//!
//! [`Budgets`]: of each budget what is booked in the present period and what requests under way have reserved;
//! who may go, who waits until others are settled, and who is refused or sent to a cheaper model.
//!
//! # What this module does not do
//!
//! It knows no prices and keeps no books: amounts come in, and so does the time. It wakes nobody: who waits is
//! named by a [`Ticket`].
//!
//! # Invariants
//!
//! 1. What is booked and reserved never exceeds the amount of a budget that refuses, but by what requests
//!    cost more than they had reserved.
//! 2. Who is short only of what others have reserved waits; who is short of what is booked is dealt with at once.
//! 3. A request reserves from every budget that it belongs to, or from none.
//! 4. Who waits for a budget goes in the order in which they came.

mod answer;
mod book;
mod period;
mod renewal;
mod settings;
mod still;
#[cfg(test)]
mod tests;
mod usual;

pub use self::answer::{
    Alarm, Answer, Ask, BudgetId, Color, Hold, Objection, Payer, Planned, Ticket, Tint, Why,
};
pub use self::book::Budgets;
pub use self::period::{Period, Span, midnight};
pub use self::renewal::{Gap, Level};
pub use self::settings::{Actions, BudgetSettings, Listeners, Reserves, Scope};
pub use self::usual::Usual;
