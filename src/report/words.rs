//! A report as a table for people.

use std::fmt::Write as _;

use super::sums::Sums;
use super::tally::{Cell, Report, Unpriced};

/// One line of the table: what it is of, and its figures.
type Written = (Vec<String>, Vec<String>);

impl Report {
    /// Returns the report for people: aligned columns, a total, and what is to be known beside it.
    pub fn words(&self) -> String {
        let columns = Columns::of(&self.total);
        let mut text = format!("{}\n\n", self.remarks.range);
        if self.total == Sums::default() {
            text.push_str("nothing was sent\n");
        } else {
            self.table(&columns, &mut text);
        }
        self.notes(&columns, &mut text);
        text
    }

    fn table(&self, columns: &Columns, text: &mut String) {
        let names: Vec<String> = self.by.iter().map(|by| by.label().to_owned()).collect();
        let mut lines: Vec<Written> = vec![(names, columns.names())];
        for row in &self.rows {
            let cells = row.cells.iter().map(shown).collect();
            lines.push((cells, columns.figures(&row.sums)));
        }
        let mut total = vec![String::new(); self.by.len().max(1)];
        if let Some(first) = total.first_mut() {
            "total".clone_into(first);
        }
        if self.by.is_empty() {
            lines[..].iter_mut().for_each(|(names, _)| names.push(String::new()));
        }
        lines.push((total, columns.figures(&self.total)));
        let widths = Widths::of(&lines);
        for line in &lines {
            widths.write(line, text);
        }
    }

    /// Writes what the figures do not tell by themselves.
    fn notes(&self, columns: &Columns, text: &mut String) {
        let mut note = |words: String| {
            // Writing to a text cannot fail.
            let _written = writeln!(text, "\n{words}");
        };
        if columns.attempts {
            note(
                "requests are first tries; tries are all that were sent, repeated ones included"
                    .to_owned(),
            );
        }
        for unpriced in &self.unpriced {
            note(no_price(unpriced));
        }
        let (lost, tokens) = self.lost;
        if lost > 0 {
            note(format!(
                "{} with about {} tokens were under way when the program died: nobody knows what they used, and they \
                 count as what was expected at most",
                tries(lost),
                grouped(tokens.count())
            ));
        }
        if self.repeated > 0 {
            note(format!(
                "{} of apps with several labels count under each of them, and once in the total",
                tries(self.repeated)
            ));
        }
        let remarks = &self.remarks;
        if remarks.unbooked > 0 {
            note(format!(
                "{} answers went out while nothing could be booked: they are in no figure above",
                grouped(remarks.unbooked)
            ));
        }
        if remarks.damaged_bytes > 0 {
            note(format!(
                "{} bytes of the file beside the database were damaged: what they told of is in no figure above, or counts \
                 as what was expected at most",
                grouped(remarks.damaged_bytes)
            ));
        }
        if remarks.whole_hours > 0 {
            note(format!(
                "{} hours of UTC lie across the ends of days of {} and are no more kept entry by entry: each counts \
                 as a whole on the day in which it begins",
                grouped(remarks.whole_hours),
                remarks.zone
            ));
        }
    }
}

/// Says which price is missing, and the lines that give one.
fn no_price(unpriced: &Unpriced) -> String {
    let Unpriced { upstream, model, tier, attempts, tokens } = unpriced;
    let of = if model.is_empty() {
        "a path without a model".to_owned()
    } else {
        format!("`{}`", plain(model))
    };
    let tier = if tier.is_empty() { String::new() } else { format!(", service tier `{tier}`") };
    let what = format!(
        "cost unknown: {} with {} tokens of {of} at `{upstream}`{tier}",
        tries(*attempts),
        grouped(tokens.count())
    );
    if model.is_empty() {
        return what;
    }
    let quoted = serde_json::Value::from(&**model);
    format!(
        "{what}; give it a price from now on with\n  [[prices]]\n  model = {quoted}\n  input = ...    # dollars for a million \
         tokens\n  output = ..."
    )
}

fn tries(count: u64) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{} tries", grouped(count)) }
}

fn shown(cell: &Cell) -> String {
    plain(cell.as_deref().unwrap_or("(none)"))
}

/// Returns a text that comes from outside without what would move what is around it.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Which columns there are: those in which something stands.
#[derive(Debug)]
struct Columns {
    attempts: bool,
    cached: bool,
    written: bool,
    reasoning: bool,
    unknown: bool,
}

impl Columns {
    fn of(total: &Sums) -> Self {
        let usage = &total.usage;
        Self {
            attempts: total.attempts != total.requests,
            cached: usage.cached.count() > 0,
            written: usage.cache_write.count() > 0,
            reasoning: usage.reasoning.count() > 0,
            unknown: total.unknown > 0,
        }
    }

    fn names(&self) -> Vec<String> {
        let names = [
            (true, "requests"),
            (self.attempts, "tries"),
            (true, "input"),
            (self.cached, "cached"),
            (self.written, "cache write"),
            (true, "output"),
            (self.reasoning, "reasoning"),
            (true, "tokens"),
            (true, "cost USD"),
            (self.unknown, "tokens of unknown cost"),
        ];
        names.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned()).collect()
    }

    fn figures(&self, sums: &Sums) -> Vec<String> {
        let usage = &sums.usage;
        let is_known = sums.unknown < sums.attempts || sums.attempts == 0;
        let cost = if is_known { sums.cost.to_string() } else { "unknown".to_owned() };
        let figures = [
            (true, grouped(sums.requests)),
            (self.attempts, grouped(sums.attempts)),
            (true, grouped(usage.input.count())),
            (self.cached, grouped(usage.cached.count())),
            (self.written, grouped(usage.cache_write.count())),
            (true, grouped(usage.output.count())),
            (self.reasoning, grouped(usage.reasoning.count())),
            (true, grouped(sums.total_tokens().count())),
            (true, cost),
            (self.unknown, grouped(sums.unknown_tokens.count())),
        ];
        figures.into_iter().filter(|(is, _)| *is).map(|(_, figure)| figure).collect()
    }
}

/// How wide each column is.
#[derive(Debug)]
struct Widths {
    names: Vec<usize>,
    figures: Vec<usize>,
}

impl Widths {
    fn of(lines: &[Written]) -> Self {
        fn widest<'a>(columns: impl Iterator<Item = &'a Vec<String>>) -> Vec<usize> {
            let mut widths: Vec<usize> = Vec::new();
            for cells in columns {
                widths.resize(widths.len().max(cells.len()), 0);
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            widths
        }
        Self {
            names: widest(lines.iter().map(|(names, _)| names)),
            figures: widest(lines.iter().map(|(_, figures)| figures)),
        }
    }

    fn write(&self, (names, figures): &Written, text: &mut String) {
        let mut line = String::new();
        for (name, width) in names.iter().zip(&self.names) {
            // Writing to a text cannot fail.
            let _written = write!(line, "{name:width$}  ");
        }
        for (figure, width) in figures.iter().zip(&self.figures) {
            let _written = write!(line, "{figure:>width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Writes a number with commas between thousands: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_parted_by_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
