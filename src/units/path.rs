//! What a path asks for, whatever way of writing it the client has.

/// Returns what `path` asks for below a provider's base URL: without `/v1`, which clients may leave out, and
/// without what Azure's clients put before it (<https://learn.microsoft.com/azure/ai-services/openai/reference>,
/// read 2026-11-21).
pub fn below_base(path: &str) -> &str {
    if let Some((_, rest)) = deployment(path) {
        return rest;
    }
    let path = path.strip_prefix("/openai").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    unversioned(path)
}

/// Tells whether a path means what it says to everybody: without `.` and `..` as segments, and without letters or
/// digits written as `%XX`, which one server undoes and another does not. No client's library makes such a path
/// (RFC 3986, sections 2.3 and 5.2.4), but with one an app could ask for what is not its own, uncounted.
pub fn is_straight(path: &str) -> bool {
    let hides_none = |rest: &str| {
        let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    if path.contains('%') {
        // What lies behind a slash that somebody may undo is a segment, too.
        let undone = path.replace("%2e", ".").replace("%2E", ".");
        let undone = undone.replace("%2f", "/").replace("%2F", "/");
        return path.split('%').skip(1).all(hides_none) && !has_dots(&undone);
    }
    !has_dots(path)
}

fn has_dots(path: &str) -> bool {
    path.contains("/.") && path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Returns a path without the version that clients may leave out.
pub fn unversioned(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '*']) => rest,
        _ => path,
    }
}

/// Returns the deployment that a path of Azure's names, and what is asked of it, from the `/` on.
pub fn deployment(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(DEPLOYMENTS)?;
    let at = rest.find('/').filter(|at| *at > 0)?;
    rest.split_at_checked(at)
}

/// What stands before a deployment in a path of Azure's.
pub const DEPLOYMENTS: &str = "/openai/deployments/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_servers_may_read_in_two_ways_is_not_straight() {
        let straight = [
            "/v1/embeddings",
            "/",
            "",
            "/v1/models/ft%3Agpt-4o.1%2Fx",
            "/v1/a..b/.c",
            "/v1/100%",
            "/v1/%C3%A9",
        ];
        let others = [
            "/v1/embeddings/../chat/completions",
            "/v1/./chat/completions",
            "/v1/embeddings/%2e%2E/chat/completions",
            "/v1/embeddings/..%2fchat/completions",
            "/v1/chat/%63ompletions",
            "/v1/files/..",
        ];
        let found: Vec<&str> =
            straight.into_iter().chain(others).filter(|path| is_straight(path)).collect();
        assert_eq!(found, straight);
    }

    #[test]
    fn each_way_of_asking_for_a_thing_is_the_same() {
        #[rustfmt::skip] // One case a line.
        let cases = [
            ("/v1/chat/completions",                             "/chat/completions"),
            ("/chat/completions",                                "/chat/completions"),
            ("/openai/v1/chat/completions",                      "/chat/completions"),
            ("/openai/deployments/gpt-4o-eu/chat/completions",   "/chat/completions"),
            ("/openai/responses",                                "/responses"),
            ("/openai/deployments",                              "/deployments"),
            ("/openai/deployments//chat",                        "/deployments//chat"),
            ("/openai",                                          "/openai"),
            ("/openaix/v1/a",                                    "/openaix/v1/a"),
            ("/v1",                                              ""),
            ("/v1beta/models",                                   "/v1beta/models"),
        ];
        for (path, asked) in cases {
            assert_eq!(below_base(path), asked, "{path}");
        }
    }
}
