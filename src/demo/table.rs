//! Words and tables for people: what stands on paper before and after the play.

use std::fmt::Write as _;

use super::numbers::{grouped, percent, seconds};
use super::report::Report;

/// Returns what is said where there is no live screen.
pub(super) fn opening(seconds: u64) -> String {
    format!(
        "Three apps want about three times the quota of two simulated organisations, for {seconds} s; \
         no key, no network.\n"
    )
}

/// Returns the table at the end.
pub(super) fn closing(report: &Report) -> String {
    let mut text = format!(
        "\nsluicegate demo, {} s, seed {}: three apps, together {:.1} times the quota\n\n",
        report.seconds, report.seed, report.wanted
    );
    apps(&mut text, report);
    lanes(&mut text, report);
    promises(&mut text, report);
    text
}

// Writing to a string cannot fail: its results are of no interest below.

fn apps(text: &mut String, report: &Report) {
    let _written = writeln!(
        text,
        "  {:<12}{:>9}{:>14}{:>9}{:>10}{:>11}",
        "App", "requests", "waited p50", "p99", "refusals", "tokens"
    );
    for app in &report.apps {
        let _written = writeln!(
            text,
            "  {:<12}{:>9}{:>14}{:>9}{:>10}{:>11}   {}: {}",
            app.name,
            grouped(app.requests),
            seconds(app.waited_p50_ms),
            seconds(app.waited_p99_ms),
            grouped(app.refused),
            grouped(app.tokens),
            app.class,
            app.does,
        );
    }
    text.push('\n');
}

fn lanes(text: &mut String, report: &Report) {
    let _written = writeln!(
        text,
        "  {:<14}{:<24}{:>17}{:>10}",
        "Organisation", "model", "quota of tokens", "used"
    );
    for lane in &report.lanes {
        let _written = writeln!(
            text,
            "  {:<14}{:<24}{:>17}{:>10}",
            lane.organisation,
            lane.model,
            format!("{} / {} s", grouped(lane.limit), lane.window_seconds),
            share(lane.quota_used),
        );
    }
    text.push('\n');
}

fn promises(text: &mut String, report: &Report) {
    let per_1000 = format!("{:.1} per 1,000 requests", report.refusals_at_provider_per_1000);
    let settled = compared("settled by the proxy", report.tokens_proxy, report.tokens_provider);
    let input = compared(
        "counted before sending",
        report.input_counted_before_sending,
        report.input_provider,
    );
    let waited =
        if report.quota_used.is_some() { "while somebody waited" } else { "nobody waited" };
    let waited = waited.to_owned();
    #[rustfmt::skip] // One line of the table a line: it is read by columns.
    let lines = [
        ("Refusals seen by apps",    grouped(report.refusals_seen_by_apps), String::new()),
        ("Refusals at the provider", grouped(report.refusals_at_provider),  per_1000),
        ("Quota used",               share(report.quota_used),              waited),
        ("Tokens at the provider",   grouped(report.tokens_provider),       settled),
        ("Input among them",         grouped(report.input_provider),        input),
        ("Cost, had it been real",   format!("${}", report.cost_usd),       String::new()),
    ];
    for (name, figure, remark) in lines {
        let line = format!("  {name:<26}{figure:>12}   {remark}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if report.failures_seen_by_apps > 0 {
        let failures = grouped(report.failures_seen_by_apps);
        let _written = writeln!(text, "  {:<26}{failures:>12}", "Other failures");
    }
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), percent)
}

fn compared(what: &str, ours: u64, theirs: u64) -> String {
    let verdict = match ours.abs_diff(theirs) {
        0 => "equal".to_owned(),
        off => format!("off by {}", grouped(off)),
    };
    format!("{} {what}: {verdict}", grouped(ours))
}
