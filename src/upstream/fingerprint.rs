//! Tells accounts apart over restarts without telling their keys.

use ring::digest::{Context, SHA256};

use crate::config::{AccountSettings, UpstreamSettings};

/// Returns eight hexadecimal digits for each key of `account`: of a hash of where it is sent, for
/// whom, and the key itself.
///
/// They are too few to tell the key, and enough to notice that another one, and so perhaps another
/// organisation, stands behind the same name.
pub(super) fn fingerprints(upstream: &UpstreamSettings, account: &AccountSettings) -> Vec<String> {
    let base = upstream.base_url.to_string();
    let whom = [&account.organization, &account.project];
    let of_key = |key: &str| {
        let mut context = Context::new(&SHA256);
        for part in
            [base.as_str(), key].into_iter().chain(whom.map(|id| id.as_deref().unwrap_or("")))
        {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        let digest = context.finish();
        digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    };
    account.keys.iter().map(|key| of_key(key.secret.expose())).collect()
}

/// Tells whether two accounts, of which these are the fingerprints behind each other, have a key in common.
pub fn share_one(one: &str, other: &str) -> bool {
    let words = |text| str::split_whitespace(text);
    words(one).any(|word| words(other).any(|same| same == word))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::{AzureSettings, Dialect, KeySettings};
    use crate::units::{AccountName, KeyLabel, Secret};

    fn account(key: &str, organization: Option<&str>) -> AccountSettings {
        let key = KeySettings { label: KeyLabel::new("first"), secret: Secret::new(key) };
        AccountSettings {
            name: AccountName::new("main"),
            keys: vec![key],
            organization: organization.map(str::to_owned),
            project: None,
            limits: Vec::new(),
        }
    }

    fn upstream(base_url: &'static str) -> UpstreamSettings {
        UpstreamSettings {
            name: "openai".into(),
            base_url: http::Uri::from_static(base_url),
            dialect: Dialect::OpenAi,
            azure: AzureSettings::default(),
            accounts: Vec::new(),
            limits: Vec::new(),
        }
    }

    #[test]
    fn another_key_place_or_organisation_is_another_fingerprint() {
        let here = upstream("https://api.openai.com/v1");
        let there = upstream("http://127.0.0.1:1/v1");
        let all = [
            fingerprints(&here, &account("sk-one", None)),
            fingerprints(&here, &account("sk-two", None)),
            fingerprints(&here, &account("sk-one", Some("org-a"))),
            fingerprints(&there, &account("sk-one", None)),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{all:?}");
        assert_eq!(all[0], fingerprints(&here, &account("sk-one", None)), "the same again");
        assert!(all.iter().flatten().all(|print| print.len() == 8), "{all:?}");
    }
}
