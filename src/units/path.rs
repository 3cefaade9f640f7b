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
