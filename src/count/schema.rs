//! Counts the schema of an answer.

/// What is added to a schema: no formula is published, so the count is meant to be an upper bound.
pub(super) const FRAMING: u64 = 10;

/// Returns valid JSON without the white space between its tokens.
pub(super) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for character in json.chars() {
        if !quoted && matches!(character, ' ' | '\t' | '\r' | '\n') {
            continue;
        }
        compact.push(character);
        match character {
            '"' if !escaped => quoted = !quoted,
            '\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_outside_strings_only() {
        let json = "{ \"a b\" : [ 1 ,\n\t\"c \\\" d\\\\\" , \" \" ] }";
        assert_eq!(compact(json), "{\"a b\":[1,\"c \\\" d\\\\\",\" \"]}");
    }
}
