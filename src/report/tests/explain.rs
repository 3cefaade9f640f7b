//! The arithmetic of one request.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::catalog::PriceList;
use crate::report::{Booking, Entry, Facet, explain};
use crate::units::{PicoUsd, Tokens, Usage};

fn entry(attempt: u64, booking: Option<Booking>) -> Entry {
    let facet = Facet {
        app: "notebook".into(),
        class: "standard".into(),
        labels: vec!["team=a".into()],
        upstream: "openai".into(),
        account: "main".into(),
        key: "first".into(),
        endpoint: "/chat/completions".into(),
        model: "fast".into(),
        sent_model: "gpt-4o".into(),
        served_model: "gpt-4o-2024-08-06".into(),
        tier: "default".into(),
    };
    Entry {
        request: "sg_1".into(),
        attempt,
        provider_id: Some("req_9".into()),
        facet: Arc::new(facet),
        sent: Duration::from_millis(1_795_000_000_123),
        queued: Duration::from_millis(1_250),
        waited_for: Some("tpm".into()),
        est_input: 1_000,
        est_output: Some(64),
        est_method: "approximate".into(),
        chosen: "cache 1/3, idle 1/2".parse().ok(),
        booking,
    }
}

fn booking(cost: Option<u64>) -> Booking {
    Booking {
        at: Duration::from_millis(1_795_000_001_000),
        first: Some(Duration::from_millis(310)),
        total: Some(Duration::from_millis(2_127)),
        status: 200,
        ending: "complete".into(),
        method: "exact".into(),
        usage: Usage {
            input: Tokens::new(1_010),
            cached: Tokens::new(800),
            output: Tokens::new(20),
            ..Usage::NONE
        },
        cost: cost.map(PicoUsd::new),
    }
}

/// 210 x 2.50 + 800 x 1.25 + 20 x 10.00 USD for a million are 525 + 1000 + 200 micro-dollars.
const COST: u64 = 1_725_000_000;

#[test]
fn a_request_is_told_line_by_line_to_the_pico_dollar() {
    let text =
        explain(&[entry(1, Some(booking(Some(COST))))], &PriceList::embedded(), &TimeZone::UTC);
    #[rustfmt::skip] // One line a line.
    let wanted = [
        "request sg_1\n\ntry 1, sent 2026-11-18 11:06:40.123 UTC\n",
        "  by        app notebook, class standard, labels team=a\n",
        "  for       fast of /chat/completions\n",
        "  to        upstream openai, account main, key first, as gpt-4o\n",
        "  chosen    account: 1. of 3, with more of the prompt in its cache than the next; key: 1. of 2, with fewer \
         requests under way than the next\n",
        "  waited    1.250 s in line for tpm\n",
        "  ended     complete, status 200, by gpt-4o-2024-08-06, service tier default, the provider's id req_9\n",
        "  took      its head after 0.310 s, over 2.127 s after the request came\n",
        "  expected  1000 of input (approximate), at most 64 of output\n",
        "  used      1010 of input (800 cached), 20 of output (exact)\n",
        "  apart     +10 of input from what was counted before\n",
        "    input                           210 x 2.5 = 0.000525\n",
        "    cached                         800 x 1.25 = 0.001\n",
        "    output                            20 x 10 = 0.0002\n",
        "    sum                                       = 0.001725\n",
        "  booked    0.001725 USD\n",
    ];
    for line in wanted {
        assert!(text.contains(line), "{line}is missing in\n{text}");
    }
    assert!(text.contains("  prices    of gpt-4o-2024-08-06, from "), "{text}");
    assert!(!text.contains("have changed"), "{text}");
}

#[test]
fn where_the_prices_of_now_give_another_sum_that_is_said() {
    let told =
        |cost| explain(&[entry(1, Some(booking(cost)))], &PriceList::embedded(), &TimeZone::UTC);
    let changed = told(Some(COST - 1));
    assert!(changed.contains("  booked    0.001724999999 USD\n"), "{changed}");
    assert!(
        changed.contains("The prices of now give 0.001725 USD: they have changed"),
        "{changed}"
    );
    assert!(told(None).contains("  booked    unknown\n  The prices of now give 0.001725 USD"));
}

#[test]
fn what_has_no_price_is_told_and_what_is_under_way_has_no_sum() {
    let mut unknown = entry(1, Some(booking(None)));
    let facet =
        Facet { served_model: "dream-1".into(), sent_model: "dream-1".into(), ..Facet::default() };
    unknown.facet = Arc::new(facet);
    let text = explain(&[unknown, entry(2, None)], &PriceList::embedded(), &TimeZone::UTC);
    assert!(
        text.contains("  booked    unknown\n  The cost is not known: no prices of this model.\n"),
        "{text}"
    );
    assert!(text.contains("  under way: nothing is booked yet\n"), "{text}");
    assert!(text.ends_with("\nall 2 tries: 0 USD, and 1 of unknown cost\n"), "{text}");
}
