//! The arithmetic of one request, line by line.
//!
//! # Invariants
//!
//! 1. What is booked is told as it is booked. Prices are looked up now: where they give another sum than was
//!    booked, that is said.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::entry::{Booking, Entry};
use super::words::plain;
use crate::catalog::{Bill, Bought, Cost, Missing, PriceList, PriceOrigin, Tier};
use crate::units::{Choice, Pick, PicoUsd, Served, Tokens, Usage, Why};

/// Tells all that is known of the tries of one request, which are in order, and what their cost consists of by
/// `prices`; times are of `zone`.
pub fn explain(entries: &[Entry], prices: &PriceList, zone: &TimeZone) -> String {
    let mut text = String::new();
    let Some(first) = entries.first() else { return text };
    let mut say = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    say(format!("request {}", plain(&first.request)));
    for entry in entries {
        say(String::new());
        head(entry, zone, &mut say);
        match &entry.booking {
            Some(booking) => {
                outcome(entry, booking, &mut say);
                money(entry, booking, prices, &mut say);
            }
            None => say("  under way: nothing is booked yet".to_owned()),
        }
    }
    if entries.len() > 1 {
        let known = entries.iter().filter_map(|entry| entry.booking.as_ref()?.cost);
        let sum: PicoUsd = known.sum();
        let unknown = entries.iter().filter_map(|entry| entry.booking.as_ref());
        let unknown = unknown.filter(|booking| booking.cost.is_none()).count();
        let beside =
            if unknown > 0 { format!(", and {unknown} of unknown cost") } else { String::new() };
        say(format!("\nall {} tries: {} USD{beside}", entries.len(), sum.exact()));
    }
    text
}

/// Says what was asked, by whom, where it was sent, and what it had waited for.
fn head(entry: &Entry, zone: &TimeZone, say: &mut impl FnMut(String)) {
    let facet = &entry.facet;
    say(format!("try {}, sent {}", entry.attempt, date(entry.sent, zone)));
    let labels = facet.labels.iter().map(|label| plain(label)).collect::<Vec<_>>().join(", ");
    let labels = if labels.is_empty() { labels } else { format!(", labels {labels}") };
    line("by", &format!("app {}, class {}{labels}", plain(&facet.app), plain(&facet.class)), say);
    let model = |name: &str| if name.is_empty() { "no model".to_owned() } else { plain(name) };
    line("for", &format!("{} of {}", model(&facet.model), plain(&facet.endpoint)), say);
    let sent = if facet.sent_model == facet.model {
        String::new()
    } else {
        format!(", as {}", model(&facet.sent_model))
    };
    let place = [("upstream", &facet.upstream), ("account", &facet.account), ("key", &facet.key)];
    let place = place.into_iter().filter(|(_, name)| !name.is_empty());
    let place = place.map(|(what, name)| format!("{what} {}", plain(name))).collect::<Vec<_>>();
    line("to", &format!("{}{sent}", place.join(", ")), say);
    if let Some(Choice { account, key }) = entry.chosen {
        line("chosen", &format!("account: {}; key: {}", pick(account), pick(key)), say);
    }
    let waited = match &entry.waited_for {
        Some(quota) => format!("{} in line for {}", seconds(entry.queued), plain(quota)),
        None if entry.queued.is_zero() => "not: there was room".to_owned(),
        None => format!("{} in line", seconds(entry.queued)),
    };
    line("waited", &waited, say);
}

/// Returns why one of several was taken, in words.
fn pick(pick: Pick) -> String {
    let Pick { why, rank, of } = pick;
    let words = match why {
        Why::Only => return "the only one".to_owned(),
        Why::Bound => return "bound, by what the request names or asks for".to_owned(),
        Why::Own => return "the client's own".to_owned(),
        Why::Health if of == 1 => return "the only one that could be used".to_owned(),
        Why::Turn => {
            return format!("of {of} the first that had room when its turn in the line came");
        }
        Why::Left => return format!("{rank}. of {of}, for those before it had no room"),
        Why::Untried => "as the next had just failed it",
        Why::Health => "healthier than the next",
        Why::Cache => "with more of the prompt in its cache than the next",
        Why::Room => "with more of its quotas free than the next",
        Why::Idle => "with fewer requests under way than the next",
        Why::Order => "in order, as all is equal",
    };
    let passed = if rank > 1 { "; those before it had no room" } else { "" };
    format!("{rank}. of {of}, {words}{passed}")
}

/// Says how it ended, and what was expected of it and used.
fn outcome(entry: &Entry, booking: &Booking, say: &mut impl FnMut(String)) {
    let facet = &entry.facet;
    let mut words = format!("{}, status {}", plain(&booking.ending), booking.status);
    if !facet.served_model.is_empty() {
        let _written = write!(words, ", by {}", plain(&facet.served_model));
    }
    if !facet.tier.is_empty() {
        let _written = write!(words, ", service tier {}", plain(&facet.tier));
    }
    if let Some(id) = &entry.provider_id {
        let _written = write!(words, ", the provider's id {}", plain(id));
    }
    line("ended", &words, say);
    let first = booking.first.map(|first| format!("its head after {}, ", seconds(first)));
    if let Some(total) = booking.total {
        let first = first.unwrap_or_default();
        let total = seconds(total);
        line("took", &format!("{first}over {total} after the request came"), say);
    }
    let output = match entry.est_output {
        Some(most) => format!("at most {most} of output"),
        None => "output without a bound".to_owned(),
    };
    let method = plain(&entry.est_method);
    line("expected", &format!("{} of input ({method}), {output}", entry.est_input), say);
    line("used", &format!("{} ({})", used(&booking.usage), plain(&booking.method)), say);
    let input = i128::from(booking.usage.input.count()) - i128::from(entry.est_input);
    if booking.usage != Usage::NONE && input != 0 {
        line("apart", &format!("{input:+} of input from what was counted before"), say);
    }
}

/// Returns what was used, in words.
fn used(usage: &Usage) -> String {
    let tokens = |count: Tokens, what: &str| (count.count(), what.to_owned());
    let parts = |parts: &[(u64, String)]| {
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts = parts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    };
    let input = parts(&[
        tokens(usage.cached, "cached"),
        tokens(usage.cache_write, "written to the cache"),
        tokens(usage.input_audio, "of sound"),
        tokens(usage.input_image, "of images"),
    ]);
    let output = parts(&[
        tokens(usage.reasoning, "of reasoning"),
        tokens(usage.output_audio, "of sound"),
        tokens(usage.output_image, "of images"),
    ]);
    let mut words = format!("{} of input{input}, {} of output{output}", usage.input, usage.output);
    let others = [
        (usage.spoken, "characters"),
        (usage.images, "images"),
        (usage.searches, "searches of the web"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        // Writing to a text cannot fail.
        let _written = write!(words, ", {count} {what}");
    }
    if !usage.heard.is_zero() {
        let _written = write!(words, ", {} of sound", seconds(usage.heard));
    }
    words
}

/// Says what the cost consists of by the prices of now, and what is booked.
fn money(entry: &Entry, booking: &Booking, prices: &PriceList, say: &mut impl FnMut(String)) {
    let booked =
        booking.cost.map_or_else(|| "unknown".to_owned(), |cost| format!("{} USD", cost.exact()));
    if booking.usage == Usage::NONE {
        return line("booked", &format!("{booked}: nothing was used"), say);
    }
    let served = served(entry);
    let bill = recomputed(entry, booking, prices, &served);
    let sum = match &bill {
        Ok(bill) => {
            let name = prices.row(&bought(entry, booking, &served, false)).map(|(name, _)| name);
            if let Some(name) = name {
                line("prices", &format!("of {name}, {}", origin(prices.origin(name))), say);
            }
            lines(bill, say);
            bill.cost()
        }
        Err(missing) => Cost::Unknown(*missing),
    };
    line("booked", &booked, say);
    match (sum, booking.cost) {
        (Cost::Known(sum), Some(booked)) if sum == booked => {}
        (Cost::Known(sum), _) => say(format!(
            "  The prices of now give {} USD: they have changed since it was booked, or it was paid by what is not \
             booked, such as the form of images. What is booked stays.",
            sum.exact()
        )),
        (Cost::Unknown(missing), None) => say(format!("  The cost is not known: {missing}.")),
        (Cost::Unknown(missing), Some(_)) => say(format!(
            "  The prices of now give no sum: {missing}. They have changed since it was booked; what is booked stays."
        )),
    }
}

/// Writes the lines of a bill, as a product and what that is, and their sum.
fn lines(bill: &Bill, say: &mut impl FnMut(String)) {
    let mut of = vec![format!("service tier {}", bill.tier.label())];
    if bill.above > 0 {
        of.push(format!("more than {} tokens of input", bill.above));
    }
    if bill.regional_percent > 0 {
        of.push(format!("{} % on top for one region", bill.regional_percent));
    }
    line("at", &format!("{}, in dollars for a million", of.join(", ")), say);
    let amount = |cost: Cost| match cost {
        Cost::Known(amount) => amount.exact(),
        Cost::Unknown(missing) => missing.to_string(),
    };
    for one in &bill.lines {
        let product = one.to_string();
        say(format!("    {:<16} {product:>24} = {}", one.kind.label(), amount(one.cost())));
    }
    say(format!("    {:<16} {:>24} = {}", "sum", "", amount(bill.cost())));
}

/// Returns the bill by the prices of now: whether it was bound to one region is not booked, but shows.
fn recomputed(
    entry: &Entry,
    booking: &Booking,
    prices: &PriceList,
    served: &Served,
) -> Result<Bill, Missing> {
    let usual = prices.bill(&bought(entry, booking, served, false))?;
    if usual.cost().known() != booking.cost
        && let Ok(regional) = prices.bill(&bought(entry, booking, served, true))
        && regional.cost().known() == booking.cost
    {
        return Ok(regional);
    }
    Ok(usual)
}

fn served(entry: &Entry) -> Served {
    fn named(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    Served {
        model: named(&entry.facet.served_model).map(Into::into),
        tier: named(&entry.facet.tier).map(Into::into),
        is_regional: false,
    }
}

fn bought<'a>(
    entry: &'a Entry,
    booking: &'a Booking,
    served: &'a Served,
    is_regional: bool,
) -> Bought<'a> {
    let facet = &entry.facet;
    let tier = if &*facet.endpoint == "/decisions" { Tier::Decisions } else { Tier::Standard };
    let upstream = Some(&*facet.upstream).filter(|name| !name.is_empty());
    let (model, usage) = (&*facet.sent_model, &booking.usage);
    Bought { upstream, model, served, tier, is_regional, usage, form: None }
}

fn origin(origin: PriceOrigin<'_>) -> String {
    match origin {
        PriceOrigin::Own => "from your configuration, `[[prices]]`".to_owned(),
        PriceOrigin::Newer(origin) => format!("from {origin}"),
        PriceOrigin::Embedded(source) => format!("from {}, as of {}", source.source, source.as_of),
    }
}

fn line(what: &str, words: &str, say: &mut impl FnMut(String)) {
    say(format!("  {what:<9} {words}"));
}

/// Returns a moment in words.
fn date(at: Duration, zone: &TimeZone) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    let at = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or_else(
        || "?".to_owned(),
        |at| at.to_zoned(zone.clone()).strftime("%F %T%.3f %Z").to_string(),
    )
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}
