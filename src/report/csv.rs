//! A report as CSV (RFC 4180), one line a row; the total is the sum of the file, and not in it.

use super::data::figures;
use super::sums::Sums;
use super::tally::Report;

impl Report {
    /// Returns the rows as CSV with a head; of a report by nothing, its total is the only row.
    ///
    /// Amounts are exact. A text that a spreadsheet would take for a formula has an apostrophe in front.
    pub fn csv(&self) -> String {
        let mut head: Vec<String> = self.by.iter().map(|by| by.label().to_owned()).collect();
        head.extend(figures(&self.total).map(|(name, _)| name.to_owned()));
        head.extend(["heard_seconds".to_owned(), "cost_usd".to_owned()]);
        let mut text = line(&head);
        for row in &self.rows {
            let names = row.cells.iter().map(|cell| field(cell.as_deref().unwrap_or_default()));
            text.push_str(&line(&numbers(names.collect(), &row.sums)));
        }
        if self.by.is_empty() {
            text.push_str(&line(&numbers(Vec::new(), &self.total)));
        }
        text
    }
}

fn numbers(mut fields: Vec<String>, sums: &Sums) -> Vec<String> {
    fields.extend(figures(sums).map(|(_, figure)| figure.to_string()));
    let heard = sums.usage.heard;
    fields.push(format!("{}.{:03}", heard.as_secs(), heard.subsec_millis()));
    fields.push(sums.cost.exact());
    fields
}

fn line(fields: &[String]) -> String {
    fields.join(",") + "\r\n"
}

/// Writes a text so that it is read as that text, and as nothing else.
pub(super) fn field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_read_as_it_is_and_no_spreadsheet_computes_it() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("notebook",           "notebook"),
            ("a,b",                "\"a,b\""),
            ("say \"hi\"",         "\"say \"\"hi\"\"\""),
            ("two\nlines",         "\"two\nlines\""),
            ("=1+1",               "'=1+1"),
            ("@SUM(A1,A2)",        "\"'@SUM(A1,A2)\""),
            ("-2",                 "'-2"),
            ("",                   ""),
        ];
        for (text, written) in cases {
            assert_eq!(field(text), written, "{text:?}");
        }
    }
}
