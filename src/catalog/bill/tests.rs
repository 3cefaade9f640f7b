//! Tests of what things cost.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Bought, PriceList};
use crate::units::Served;

/// A case of the table.
struct Case {
    line: &'static str,
    model: &'static str,
    served: Served,
    usage: Usage,
    form: Option<&'static str>,
    is_regional: bool,
    arithmetic: &'static str,
    result: &'static str,
}

/// Reads `cases.txt`.
fn cases() -> Vec<Case> {
    let lines = include_str!("cases.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &'static str| {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [model, tier, used, worked] = columns[..] else { panic!("four columns: {line}") };
        let (arithmetic, result) = worked.split_once('=').expect("a result");
        let mut served = Served::default();
        served.note("model", Some(model));
        served.note("service_tier", Some(tier));
        let is_regional = used.ends_with(", regional 1");
        let (usage, form) = usage(used.trim_end_matches(", regional 1"));
        let (arithmetic, result) = (arithmetic.trim(), result.trim());
        Case { line, model, served, usage, form, is_regional, arithmetic, result }
    };
    lines.map(case).collect()
}

/// Reads words such as `input 9, output 1`.
fn usage(written: &'static str) -> (Usage, Option<&'static str>) {
    let (mut usage, mut form) = (Usage::NONE, None);
    for part in written.split(", ") {
        let (name, value) = part.split_once(' ').expect("a name and a value");
        let number = || value.parse::<u64>().expect("a whole number");
        let tokens = match name {
            "input" => &mut usage.input,
            "cached" => &mut usage.cached,
            "cached_audio" => &mut usage.cached_audio,
            "cached_image" => &mut usage.cached_image,
            "cache_write" => &mut usage.cache_write,
            "cache_write_long" => &mut usage.cache_write_long,
            "input_audio" => &mut usage.input_audio,
            "input_image" => &mut usage.input_image,
            "output" => &mut usage.output,
            "reasoning" => &mut usage.reasoning,
            "output_audio" => &mut usage.output_audio,
            "output_image" => &mut usage.output_image,
            other => {
                match other {
                    "heard" => {
                        usage.heard = Duration::from_secs_f64(value.parse().expect("seconds"));
                    }
                    "spoken" => usage.spoken = number(),
                    "images" => usage.images = number(),
                    "searches" => usage.searches = number(),
                    "form" => form = Some(value),
                    other => panic!("`{other}` is no kind of usage"),
                }
                continue;
            }
        };
        *tokens = Tokens::new(number());
    }
    (usage, form)
}

#[test]
fn costs_equal_what_was_worked_out_by_hand() {
    let list = PriceList::embedded();
    let cases = cases();
    assert!(cases.len() >= 80, "cases are missing: {}", cases.len());
    for Case { line, model, served, usage, form, is_regional, arithmetic, result } in cases {
        let tier = Tier::Standard;
        let (served, usage) = (&served, &usage);
        let bought = Bought { upstream: None, model, served, tier, is_regional, usage, form };
        let lines: Vec<_> = list.bill(&bought).map_or_else(
            |_| Vec::new(),
            |bill| bill.lines.iter().map(ToString::to_string).collect(),
        );
        assert_eq!(lines.join(" + "), arithmetic, "{line}");
        let expected = result.replace('_', "").parse::<u64>();
        match (list.cost(&bought), expected) {
            (Cost::Known(amount), Ok(pico)) => assert_eq!(amount.pico(), pico, "{line}"),
            (Cost::Unknown(missing), Err(_)) => assert_eq!(missing.to_string(), result, "{line}"),
            (cost, _) => panic!("{cost:?}: {line}"),
        }
    }
}

#[test]
fn the_table_has_every_kind_and_every_tier() {
    let list = PriceList::embedded();
    let (mut kinds, mut tiers) = (Vec::new(), Vec::new());
    for Case { model, served, usage, form, .. } in cases() {
        let bought = Bought {
            upstream: None,
            model,
            served: &served,
            tier: Tier::Standard,
            is_regional: false,
            usage: &usage,
            form,
        };
        let Ok(bill) = list.bill(&bought) else { continue };
        tiers.push(bill.tier);
        kinds.extend(bill.lines.iter().filter(|line| line.rate.is_some()).map(|line| line.kind));
    }
    // No model of the table has a price of reasoning, and none is served in `balanced`.
    let kinds_missing =
        Kind::ALL.into_iter().filter(|kind| !kinds.contains(kind) && *kind != Kind::Reasoning);
    assert_eq!(kinds_missing.collect::<Vec<_>>(), []);
    let tiers_missing =
        Tier::ALL.into_iter().filter(|tier| !tiers.contains(tier) && *tier != Tier::Balanced);
    assert_eq!(tiers_missing.collect::<Vec<_>>(), []);
}

fn bill(prices: &Prices, usage: &Usage) -> Bill {
    let (served, tier) = (&Served::default(), Tier::Standard);
    let (upstream, model, is_regional, form) = (None, "m", false, None);
    let bought = Bought { upstream, model, served, tier, is_regional, usage, form };
    Bill::new(prices, &bought, tier)
}

#[test]
fn reasoning_is_apart_where_it_has_a_price_of_its_own() {
    let mut prices = Prices::default();
    let dollars = |dollars| Rate::per_million(dollars).expect("a rate");
    prices.set((Kind::Output, Tier::Standard, 0), dollars("2"));
    let output = Tokens::new(10);
    let usage = Usage { output, reasoning: Tokens::new(4), ..Usage::NONE };
    let shown = |prices: &Prices| {
        let lines = bill(prices, &usage).lines;
        lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
    };
    assert_eq!(shown(&prices), "10 x 2");
    prices.set((Kind::Reasoning, Tier::Standard, 0), dollars("3"));
    assert_eq!(shown(&prices), "6 x 2 + 4 x 3");
}

#[test]
fn what_was_not_used_costs_nothing_whatever_the_model() {
    let (served, usage) = (Served::default(), Usage::NONE);
    let bought = Bought {
        upstream: None,
        model: "gpt-7",
        served: &served,
        tier: Tier::Standard,
        is_regional: false,
        usage: &usage,
        form: None,
    };
    assert_eq!(PriceList::embedded().cost(&bought), Cost::Known(PicoUsd::ZERO));
}

proptest! {
    /// Every token stands on one line, however its parts overlap, and the lines add up to the cost.
    #[test]
    fn no_token_is_paid_twice_and_none_is_forgotten(
        figures in prop::array::uniform12(0..1_000_u64),
        wholes in (0..2_000_u64, 0..2_000_u64),
    ) {
        let [cached, cached_audio, cached_image, cache_write, cache_write_long, input_audio,
            input_image, reasoning, output_audio, output_image, _, _] = figures.map(Tokens::new);
        let usage = Usage {
            input: Tokens::new(wholes.0), output: Tokens::new(wholes.1),
            cached, cached_audio, cached_image, cache_write, cache_write_long, input_audio,
            input_image, reasoning, output_audio, output_image, ..Usage::NONE
        };
        let mut prices = Prices::default();
        for (kind, rate) in Kind::ALL.into_iter().zip(1..) {
            let rate = Rate::per_million(&format!("{rate}")).expect("a rate");
            prices.set((kind, Tier::Standard, 0), rate);
        }
        let bill = bill(&prices, &usage);
        let mut counted = 0;
        let mut cost = PicoUsd::ZERO;
        for line in &bill.lines {
            let Count::Units(units) = line.count else { panic!("no time was used") };
            counted += units;
            cost = cost + line.cost().known().expect("every kind has a price");
        }
        prop_assert_eq!(counted, usage.total().count());
        prop_assert_eq!(bill.cost(), Cost::Known(cost));
    }
}
