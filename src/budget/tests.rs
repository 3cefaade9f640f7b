//! What budgets let go, and what they say to the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::units::{AppName, Class, ModelName, PicoUsd};

const NOW: Duration = Duration::from_secs(1_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const REFUSES: Actions =
    Actions { warns: true, steps_down: false, pauses_batch: false, refuses: true };

/// A budget of 1,000 pico-dollars a day, yellow at 800, that refuses.
fn daily() -> BudgetSettings {
    BudgetSettings {
        name: "all".into(),
        scope: Scope::default(),
        amount: PicoUsd::new(1_000),
        period: Period::Day,
        zone: TimeZone::UTC,
        yellow: 800,
        red: 1_000,
        on_yellow: Actions { warns: true, ..Actions::default() },
        on_red: REFUSES,
        step_down: Vec::new(),
        unknown_price: None,
        reserves: Reserves::Expected,
        listeners: Listeners::default(),
    }
}

fn ask(cost: u64) -> Ask {
    let cost = PicoUsd::new(cost);
    Ask {
        payer: Payer { app: AppName::new("a"), labels: Arc::from([]) },
        class: Class::Standard,
        model: ModelName::new("m"),
        is_movable: true,
        planned: Planned::Priced { expected: cost, most: cost + cost },
    }
}

/// Tells every budget that has a gap that app `a` spent so much in it.
fn recall(budgets: &mut Budgets, cost: u64) {
    let spent = [(ask(0).payer, PicoUsd::new(cost))];
    for gap in budgets.gaps(NOW) {
        drop(budgets.recall(gap, &spent));
    }
}

fn goes(budgets: &mut Budgets, ask: Ask) -> Hold {
    match budgets.ask(ask, NOW) {
        Answer::Go(hold) => hold,
        other => panic!("it may go: {other:?}"),
    }
}

fn waits(budgets: &mut Budgets, ask: Ask) -> Ticket {
    match budgets.ask(ask, NOW) {
        Answer::Wait { ticket, .. } => ticket,
        other => panic!("it waits: {other:?}"),
    }
}

fn refused(budgets: &mut Budgets, ask: Ask) -> Why {
    match budgets.ask(ask, NOW) {
        Answer::Refused(objection) => objection.why,
        other => panic!("it is refused: {other:?}"),
    }
}

#[test]
fn who_is_short_of_what_others_have_reserved_waits_for_them() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let hold = goes(&mut budgets, ask(700));
    let first = waits(&mut budgets, ask(400));
    let second = waits(&mut budgets, ask(100));
    assert!(budgets.spend(&hold, Some(PicoUsd::new(300)), NOW).is_empty());
    let called = budgets.release(hold, NOW);
    let order: Vec<Ticket> = called.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(order, [first, second], "in the order in which they came");
    assert!(called.iter().all(|(_, answer)| matches!(answer, Answer::Go(_))), "{called:?}");
}

#[test]
fn who_is_short_of_what_is_booked_is_refused_until_the_period_ends() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let hold = goes(&mut budgets, ask(700));
    let alarms = budgets.spend(&hold, Some(PicoUsd::new(900)), NOW);
    assert_eq!(alarms.iter().map(|alarm| alarm.color).collect::<Vec<_>>(), [Color::Yellow]);
    assert!(budgets.release(hold, NOW).is_empty());
    let until = Some(Duration::from_secs(12 * 86_400));
    let (amount, booked) = (PicoUsd::new(1_000), PicoUsd::new(900));
    assert_eq!(refused(&mut budgets, ask(101)), Why::Spent { amount, booked, until });
    let rest = goes(&mut budgets, ask(100));
    assert!(budgets.release(rest, NOW).is_empty());
    assert!(matches!(budgets.ask(ask(1_000), NOW + DAY), Answer::Go(_)), "another day");
}

#[test]
fn what_is_under_way_when_a_period_ends_is_reserved_in_the_next_one() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let hold = goes(&mut budgets, ask(700));
    let tomorrow = NOW + DAY;
    let Answer::Wait { ticket, .. } = budgets.ask(ask(400), tomorrow) else {
        panic!("what is under way will be booked tomorrow, too")
    };
    assert!(budgets.spend(&hold, Some(PicoUsd::new(600)), tomorrow).is_empty());
    let called = budgets.release(hold, tomorrow);
    assert!(matches!(&called[..], [(first, Answer::Go(_))] if *first == ticket), "{called:?}");
    assert_eq!(budgets.levels(tomorrow)[0].booked, PicoUsd::new(600));
}

#[test]
fn what_was_granted_goes_on_until_a_budget_comes_to_its_mark_or_is_another_one() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let [first, second] = [goes(&mut budgets, ask(500)), goes(&mut budgets, ask(400))];
    assert!(budgets.still(Some(&first), &ask(500), NOW), "all is reserved, its own part too");
    assert!(!budgets.still(None, &ask(500), NOW), "it has reserved nothing");
    let dearer = Ask { model: ModelName::new("dearer"), ..ask(500) };
    assert!(!budgets.still(Some(&first), &dearer, NOW), "it was granted another model");
    budgets.spend(&second, Some(PicoUsd::new(501)), NOW);
    assert!(!budgets.still(Some(&first), &ask(500), NOW), "short of what is booked");
    assert!(budgets.still(Some(&first), &ask(500), NOW + DAY), "another day");

    let batch = Ask { class: Class::Batch, ..ask(100) };
    let pauses = Actions { pauses_batch: true, ..Actions::default() };
    let settings = BudgetSettings { on_yellow: pauses, ..daily() };
    let mut budgets = Budgets::new(vec![settings], NOW);
    let [batched, other] = [goes(&mut budgets, batch.clone()), goes(&mut budgets, ask(100))];
    budgets.spend(&other, Some(PicoUsd::new(800)), NOW);
    assert!(!budgets.still(Some(&batched), &batch, NOW), "its class is paused");
    assert!(budgets.still(Some(&other), &ask(100), NOW));

    let more = BudgetSettings { name: "more".into(), ..daily() };
    let _nobody = budgets.renew(vec![daily(), more], NOW);
    assert!(!budgets.still(Some(&other), &ask(100), NOW), "a new one has reserved nothing for it");
    let _nobody = budgets.renew(vec![daily()], NOW);
    assert!(budgets.still(Some(&other), &ask(100), NOW));
}

#[test]
fn what_costs_more_than_there_ever_is_is_told_so() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let (planned, amount) = (PicoUsd::new(1_001), PicoUsd::new(1_000));
    assert_eq!(refused(&mut budgets, ask(1_001)), Why::TooDear { planned, amount });
}

#[test]
fn strict_budgets_reserve_the_most_that_it_may_cost() {
    let strict = BudgetSettings { reserves: Reserves::Most, ..daily() };
    let mut budgets = Budgets::new(vec![strict], NOW);
    let _hold = goes(&mut budgets, ask(300));
    waits(&mut budgets, ask(201));
}

#[test]
fn a_request_reserves_from_every_budget_it_belongs_to_or_from_none() {
    let team = BudgetSettings {
        name: "team".into(),
        scope: Scope { labels: vec!["team=x".into()], ..Scope::default() },
        amount: PicoUsd::new(500),
        ..daily()
    };
    let mut budgets = Budgets::new(vec![daily(), team], NOW);
    let labelled = |cost| {
        let labels: Arc<[Arc<str>]> = Arc::from([Arc::from("team=x")]);
        Ask { payer: Payer { labels, ..ask(cost).payer }, ..ask(cost) }
    };
    let hold = goes(&mut budgets, labelled(400));
    let late = waits(&mut budgets, labelled(200));
    let _rest = goes(&mut budgets, ask(600));
    let called = budgets.release(hold, NOW);
    assert!(matches!(&called[..], [(ticket, Answer::Go(_))] if *ticket == late), "{called:?}");
}

#[test]
fn who_leaves_lets_those_behind_go() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let _hold = goes(&mut budgets, ask(700));
    let large = waits(&mut budgets, ask(400));
    let small = waits(&mut budgets, ask(100));
    let called = budgets.leave(large, NOW);
    assert!(matches!(&called[..], [(ticket, Answer::Go(_))] if *ticket == small), "{called:?}");
    assert!(matches!(budgets.ask(ask(200), NOW), Answer::Go(_)), "nobody waits any more");
}

#[test]
fn another_period_lets_go_who_waits() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let over = goes(&mut budgets, ask(300));
    assert!(budgets.spend(&over, Some(PicoUsd::new(300)), NOW).is_empty());
    assert!(budgets.release(over, NOW).is_empty());
    let hold = goes(&mut budgets, ask(400));
    let ticket = waits(&mut budgets, ask(400));
    let called = budgets.look(NOW + DAY);
    assert!(matches!(&called[..], [(called, Answer::Go(_))] if *called == ticket), "{called:?}");
    assert!(budgets.spend(&hold, Some(PicoUsd::new(200)), NOW + DAY).is_empty());
    assert!(budgets.release(hold, NOW + DAY).is_empty());
    assert!(matches!(budgets.ask(ask(400), NOW + DAY), Answer::Go(_)), "200 spent, 400 reserved");
    waits(&mut budgets, ask(1));
}

#[test]
fn yellow_steps_down_and_pauses_batch_where_that_is_configured() {
    let yellow = Actions { steps_down: true, pauses_batch: true, ..Actions::default() };
    let step_down = vec![(ModelName::new("m"), ModelName::new("s"))];
    let mut budgets =
        Budgets::new(vec![BudgetSettings { on_yellow: yellow, step_down, ..daily() }], NOW);
    recall(&mut budgets, 800);
    let cheaper = |answer| matches!(answer, Answer::Instead { model, .. } if model.as_str() == "s");
    assert!(cheaper(budgets.ask(ask(10), NOW)));
    let fixed = Ask { is_movable: false, ..ask(10) };
    assert!(matches!(budgets.ask(fixed, NOW), Answer::Go(_)), "no other model can be asked");
    let small = Ask { model: ModelName::new("s"), ..ask(10) };
    assert!(matches!(budgets.ask(small.clone(), NOW), Answer::Go(_)), "nothing is cheaper");
    let batch = Ask { class: Class::Batch, ..small };
    assert!(matches!(budgets.ask(batch, NOW), Answer::Paused(_)));
}

#[test]
fn a_model_of_unknown_price_needs_one() {
    let unpriced = Ask { planned: Planned::Unpriced { expected: 100, most: 200 }, ..ask(0) };
    let mut budgets = Budgets::new(vec![daily()], NOW);
    assert_eq!(refused(&mut budgets, unpriced.clone()), Why::Unpriced(ModelName::new("m")));
    let nothing = Planned::Unpriced { expected: 0, most: 0 };
    let _free = goes(&mut budgets, Ask { planned: nothing, ..ask(0) });
    let priced = BudgetSettings { unknown_price: Some(PicoUsd::new(5_000_000)), ..daily() };
    let mut budgets = Budgets::new(vec![priced], NOW);
    let _hold = goes(&mut budgets, unpriced.clone());
    let _another = goes(&mut budgets, unpriced.clone());
    waits(&mut budgets, unpriced);
}

#[test]
fn a_budget_that_only_warns_holds_nobody_up_and_warns_once() {
    let warns = Actions { warns: true, ..Actions::default() };
    let mut budgets = Budgets::new(vec![BudgetSettings { on_red: warns, ..daily() }], NOW);
    let first = goes(&mut budgets, ask(5_000));
    let second = goes(&mut budgets, ask(5_000));
    let told = |alarms: Vec<Alarm>| alarms.iter().map(|alarm| alarm.color).collect::<Vec<_>>();
    assert_eq!(told(budgets.spend(&first, Some(PicoUsd::new(5_000)), NOW)), [Color::Red]);
    assert_eq!(told(budgets.spend(&second, Some(PicoUsd::new(5_000)), NOW)), []);
}

#[test]
fn a_budget_that_is_used_up_before_it_begins_to_count_says_so_once() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let gap = budgets.gaps(NOW)[0];
    let spent = [(ask(0).payer, PicoUsd::new(5_000))];
    let state = budgets.recall(gap, &spent).expect("it is red");
    assert_eq!((state.color, state.booked), (Color::Red, PicoUsd::new(5_000)));
    assert_eq!(budgets.recall(gap, &spent), None);
    let mut budgets = Budgets::new(vec![daily()], NOW);
    assert_eq!(budgets.recall(gap, &[]), None, "it is green");
}

#[test]
fn a_raised_budget_lets_go_who_waits_and_keeps_what_is_booked() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    recall(&mut budgets, 0);
    let hold = goes(&mut budgets, ask(700));
    let ticket = waits(&mut budgets, ask(400));
    drop(budgets.spend(&hold, Some(PicoUsd::new(100)), NOW));
    let raised = BudgetSettings { amount: PicoUsd::new(1_200), ..daily() };
    let called = budgets.renew(vec![raised], NOW);
    assert!(matches!(&called[..], [(it, Answer::Go(_))] if *it == ticket), "{called:?}");
    let levels = budgets.levels(NOW);
    let [level] = &levels[..] else { panic!("one budget: {levels:?}") };
    assert_eq!((level.booked.pico(), level.reserved.pico()), (100, 1_100));
    assert_eq!(budgets.gaps(NOW), [], "nothing of it is unknown");
    assert!(budgets.release(hold, NOW).is_empty());
    assert_eq!(
        budgets.levels(NOW)[0].reserved.pico(),
        400,
        "what was granted before is given back"
    );
}

#[test]
fn a_new_budget_has_to_be_told_what_was_booked_before_and_counts_what_is_under_way() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let hold = goes(&mut budgets, ask(300));
    let later = NOW + Duration::from_secs(60);
    let new = BudgetSettings { name: "new".into(), ..daily() };
    assert!(budgets.renew(vec![new, daily()], later).is_empty());
    let gaps = budgets.gaps(later);
    let [new, old] = gaps[..] else { panic!("two gaps: {gaps:?}") };
    assert_eq!((new.end, old.end), (later, NOW), "each up to when it began to count");
    budgets.recall(new, &[(ask(0).payer, PicoUsd::new(50))]);
    budgets.recall(new, &[(ask(0).payer, PicoUsd::new(50))]);
    drop(budgets.spend(&hold, Some(PicoUsd::new(200)), later));
    let booked: Vec<u64> = budgets.levels(later).iter().map(|it| it.booked.pico()).collect();
    assert_eq!(booked, [250, 200], "once, though it had reserved nothing of the new one");
    let elsewhere = vec![BudgetSettings { period: Period::Week, ..daily() }];
    drop(budgets.renew(elsewhere, later));
    assert_eq!(budgets.levels(later)[0].booked.pico(), 0, "another period is another budget");
}

#[test]
fn who_waits_for_a_budget_that_is_no_more_goes() {
    let mut budgets = Budgets::new(vec![daily()], NOW);
    let hold = goes(&mut budgets, ask(700));
    let first = waits(&mut budgets, ask(400));
    let second = waits(&mut budgets, ask(900));
    let called: Vec<Ticket> =
        budgets.renew(Vec::new(), NOW).into_iter().map(|(ticket, _)| ticket).collect();
    assert_eq!(called, [first, second], "in the order in which they came");
    assert!(budgets.spend(&hold, Some(PicoUsd::new(200)), NOW).is_empty());
    assert!(budgets.release(hold, NOW).is_empty());
}

proptest! {
    /// Whatever is asked, spent and given up in whatever order: while nothing costs more than it reserved, no
    /// budget is overspent, and in the end nobody who fits still waits.
    #[test]
    fn nothing_is_overspent_and_nobody_forgotten(
        steps in prop::collection::vec((0_u8..4, 1_u64..400, any::<prop::sample::Index>()), 1..80)
    ) {
        let mut budgets = Budgets::new(vec![daily()], NOW);
        let mut holds: Vec<(Hold, u64)> = Vec::new();
        let mut waiting: BTreeMap<Ticket, u64> = BTreeMap::new();
        let mut booked = 0;
        let take = |called: Vec<(Ticket, Answer)>, waiting: &mut BTreeMap<Ticket, u64>, holds: &mut Vec<(Hold, u64)>| {
            for (ticket, answer) in called {
                let cost = waiting.remove(&ticket).expect("it waits");
                if let Answer::Go(hold) = answer {
                    holds.push((hold, cost));
                }
            }
        };
        for (step, cost, which) in steps {
            match step {
                0 | 1 => match budgets.ask(ask(cost), NOW) {
                    Answer::Go(hold) => holds.push((hold, cost)),
                    Answer::Wait { ticket, .. } => drop(waiting.insert(ticket, cost)),
                    Answer::Refused(_) => prop_assert!(booked + cost > 1_000),
                    other => prop_assert!(false, "{other:?}"),
                },
                2 if !holds.is_empty() => {
                    let (hold, planned) = holds.swap_remove(which.index(holds.len()));
                    let spent = cost.min(planned);
                    booked += spent;
                    drop(budgets.spend(&hold, Some(PicoUsd::new(spent)), NOW));
                    take(budgets.release(hold, NOW), &mut waiting, &mut holds);
                }
                3 if !waiting.is_empty() => {
                    let ticket = *waiting.keys().nth(which.index(waiting.len())).expect("one");
                    waiting.remove(&ticket);
                    take(budgets.leave(ticket, NOW), &mut waiting, &mut holds);
                }
                _ => {}
            }
            let reserved: u64 = holds.iter().map(|(_, planned)| planned).sum();
            prop_assert!(booked + reserved <= 1_000, "{booked} and {reserved}");
            if let Some(first) = waiting.values().next() {
                prop_assert!(booked + reserved + first > 1_000, "the first in line fits");
            }
        }
        for (hold, _) in std::mem::take(&mut holds) {
            take(budgets.release(hold, NOW), &mut waiting, &mut holds);
        }
        prop_assert!(waiting.is_empty() || !holds.is_empty());
    }
}
