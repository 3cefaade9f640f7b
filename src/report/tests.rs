mod against;
mod explain;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::*;
use crate::units::{PicoUsd, Tokens, Usage};

fn at(text: &str) -> Duration {
    let time: Timestamp = text.parse().expect("a time");
    Duration::try_from(time.as_duration()).expect("after 1970")
}

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).expect("a zone")
}

fn told(range: Range) -> [String; 2] {
    let text = |at: Duration| {
        Timestamp::from_millisecond(i64::try_from(at.as_millis()).expect("small"))
            .expect("a time")
            .to_string()
    };
    [text(range.begin), text(range.end)]
}

#[test]
fn a_range_is_what_its_words_say_in_its_zone() {
    let now = at("2026-11-22T13:30:00Z");
    let between = |from: Option<&str>, to: Option<&str>| {
        Wanted::Between(from.map(str::to_owned), to.map(str::to_owned))
    };
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        (Wanted::Today,                            "UTC",           ["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]),
        (Wanted::Today,                            "Asia/Tokyo",    ["2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z"]),
        (Wanted::Today,                            "Asia/Kolkata",  ["2026-11-21T18:30:00Z", "2026-11-22T18:30:00Z"]),
        (Wanted::Month(None),                      "Europe/Berlin", ["2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"]),
        (Wanted::Month(Some("2026-10".into())),    "Europe/Berlin", ["2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"]),
        (between(Some("2026-11-20"), Some("2026-11-21")), "UTC",    ["2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z"]),
        (between(Some("2026-11-20T08:00"), Some("2026-11-20T09:30:00")), "Europe/Berlin", ["2026-11-20T07:00:00Z", "2026-11-20T08:30:00Z"]),
        (between(Some("2026-11-20T08:00:00+02:00"), Some("2026-11-20T09:30:00Z")), "UTC", ["2026-11-20T06:00:00Z", "2026-11-20T09:30:00Z"]),
        (Wanted::Last(Duration::from_secs(7_200)), "UTC",           ["2026-11-22T11:30:00Z", "2026-11-22T13:30:00.001Z"]),
        (between(None, Some("2026-01-01")),        "UTC",           ["1970-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    ];
    for (wanted, name, range) in cases {
        let found = Range::of(&wanted, now, &zone(name)).expect("it is well-formed");
        assert_eq!(told(found), range, "{wanted:?} {name}");
    }
}

#[test]
fn words_that_name_no_range_are_told() {
    let now = at("2026-11-22T13:30:00Z");
    let between = |from: &str, to: &str| Wanted::Between(Some(from.into()), Some(to.into()));
    let cases = [
        (between("yesterday", "2026-11-22"), RangeError::Time("yesterday".into())),
        (between("2026-02-30", "2026-11-22"), RangeError::Time("2026-02-30".into())),
        (between("2026-11-22", "2026-11-20"), RangeError::Empty),
        (Wanted::Month(Some("2026-13".into())), RangeError::Month("2026-13".into())),
        (Wanted::Month(Some("2026-11-22".into())), RangeError::Month("2026-11-22".into())),
    ];
    for (wanted, error) in cases {
        assert_eq!(Range::of(&wanted, now, &TimeZone::UTC), Err(error));
    }
}

#[test]
fn a_day_is_as_long_as_its_zone_has_it() {
    let range = Range { begin: at("2026-10-24T00:00:00Z"), end: at("2026-10-26T12:00:00Z") };
    let found: Vec<_> = days(range, &zone("Europe/Berlin"))
        .into_iter()
        .map(|(day, part)| (day.to_string(), (part.end - part.begin).as_secs() / 3_600))
        .collect();
    let hours = |day: &str, hours| (day.to_owned(), hours);
    assert_eq!(found, [hours("2026-10-24", 22), hours("2026-10-25", 25), hours("2026-10-26", 13)]);
}

fn facet(app: &str, labels: &[&str]) -> Arc<Facet> {
    let labels = labels.iter().map(|label| Arc::from(*label)).collect();
    Arc::new(Facet {
        app: app.into(),
        labels,
        upstream: "openai".into(),
        sent_model: "gpt-4o".into(),
        ..Facet::default()
    })
}

fn line(app: &str, labels: &[&str], input: u64, cost: Option<u64>) -> Line {
    let usage = Usage { input: Tokens::new(input), ..Usage::NONE };
    let sums = Sums {
        requests: 1,
        attempts: 1,
        usage,
        cost: PicoUsd::new(cost.unwrap_or_default()),
        unknown: u64::from(cost.is_none()),
        unknown_tokens: Tokens::new(if cost.is_none() { input } else { 0 }),
        endings: [(Arc::from("complete"), 1)].into(),
    };
    Line { facet: facet(app, labels), ending: "complete".into(), sums }
}

fn report(by: Vec<By>, lines: &[Line]) -> Report {
    let mut tally = Tally::new(by);
    let day = "2026-11-22".into();
    lines.iter().for_each(|line| tally.add(&day, line));
    tally.finish(Remarks { range: "all that is booked".into(), ..Remarks::default() })
}

#[test]
fn the_table_is_aligned_and_names_what_is_not_known() {
    let lines = [
        line("indexer", &["team=a", "prod"], 1_200_000, Some(3_000_000_000_000)),
        line("chat", &[], 10, None),
    ];
    let words = report(vec![By::App], &lines).words();
    let wanted = "all that is booked\n\n\
        app      requests      input  output     tokens  cost USD  tokens of unknown cost\n\
        indexer         1  1,200,000       0  1,200,000  3.000000                       0\n\
        chat            1         10       0         10   unknown                      10\n\
        total           2  1,200,010       0  1,200,010  3.000000                      10\n\n\
        cost unknown: 1 try with 10 tokens of `gpt-4o` at `openai`; give it a price from now on with\n  \
        [[prices]]\n  model = \"gpt-4o\"\n  input = ...    # dollars for a million tokens\n  output = ...\n";
    assert_eq!(words, wanted);
}

#[test]
fn who_has_two_labels_counts_under_each_and_once_in_the_total() {
    let lines = [line("indexer", &["team=a", "prod"], 7, Some(1)), line("chat", &[], 5, Some(2))];
    let report = report(vec![By::Label], &lines);
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.cells[0].as_deref(), row.sums.usage.input.count()))
        .collect();
    assert_eq!(rows, [(None, 5), (Some("prod"), 7), (Some("team=a"), 7)]);
    assert_eq!(report.total.usage.input.count(), 12);
    assert!(report.words().contains("1 try of apps with several labels count under each of them"));
    assert!(report.json().contains("\"attempts_in_several_rows\":1"));
}

#[test]
fn json_has_exact_amounts_and_names_what_is_missing() {
    let lines = [line("chat", &[], 3, Some(630_001)), line("chat", &[], 4, None)];
    let report = report(vec![By::App, By::Account], &lines);
    let json = report.json();
    assert!(json.contains("\"cost_usd\":0.000000630001"), "{json}");
    let page: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(page["total"]["requests"], 2);
    assert_eq!(page["total"]["total_tokens"], 7);
    assert_eq!(page["total"]["unknown_cost_tokens"], 4);
    assert_eq!(page["total"]["endings"]["complete"], 2);
    assert_eq!(page["rows"][0]["app"], "chat");
    assert_eq!(page["rows"][0]["account"], serde_json::Value::Null);
    assert_eq!(page["unknown_cost"][0]["model"], "gpt-4o");
    assert_eq!(page["from"], serde_json::Value::Null);
}

#[test]
fn csv_has_a_line_for_each_row_and_as_many_fields_as_its_head() {
    let csv = report(vec![By::App], &[line("=cmd", &[], 3, Some(5))]).csv();
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("app,requests,attempts,total_tokens,input_tokens,"));
    assert!(lines[1].starts_with("'=cmd,1,1,3,3,") && lines[1].ends_with(",0.000000000005"));
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    assert_eq!(report(Vec::new(), &[]).csv().split("\r\n").count(), 3, "a total is a row");
}

proptest! {
    /// Pieces follow each other without a gap, and each is of the largest kind that fits.
    #[test]
    fn the_pieces_of_a_range_are_the_range(begin in 0..2_000_000_000_u64, long in 1..2_000_000_000_u64) {
        let millis = Duration::from_millis;
        let range = Range { begin: millis(begin), end: millis(begin + long) };
        let ends = |piece: &Piece| match *piece {
            Piece::Days(from, to) => (from * 86_400_000, to * 86_400_000),
            Piece::Hours(from, to) => (from * 3_600_000, to * 3_600_000),
            Piece::Moments(from, to) => (from, to),
        };
        let pieces = range.pieces();
        let mut at = begin;
        for piece in &pieces {
            let (from, to) = ends(piece);
            prop_assert_eq!(from, at);
            prop_assert!(to > from);
            match piece {
                Piece::Moments(..) => prop_assert!(to - from < 3_600_000, "a whole hour is summed up"),
                Piece::Hours(..) => prop_assert!(to - from < 86_400_000, "a whole day is summed up"),
                Piece::Days(..) => {}
            }
            at = to;
        }
        prop_assert_eq!(at, begin + long);
        prop_assert!(pieces.len() <= 5, "{:?}", pieces);
    }

    /// Whatever the rows are by, those that no entry is in twice add up to the total.
    #[test]
    fn the_rows_of_a_report_add_up_to_its_total(
        lines in prop::collection::vec((0..4_u8, 0..1_000_000_u64, prop::option::of(0..1_u64 << 40)), 0..40),
        by in prop::sample::subsequence(By::ALL.to_vec(), 1..4),
    ) {
        let by: Vec<By> = by.into_iter().filter(|by| *by != By::Label).collect();
        prop_assume!(!by.is_empty());
        let lines: Vec<Line> = lines
            .into_iter()
            .map(|(app, input, cost)| line(&app.to_string(), &["a", "b"], input, cost))
            .collect();
        let report = report(by, &lines);
        let mut sum = Sums::default();
        report.rows.iter().for_each(|row| sum.add(&row.sums));
        prop_assert_eq!(&sum, &report.total);
        let entries: u64 = lines.iter().map(|line| line.sums.usage.input.count()).sum();
        prop_assert_eq!(report.total.total_tokens().count(), entries);
    }
}
