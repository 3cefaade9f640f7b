//! The tables of apps, and of their keys' digests.
//!
//! Whoever changes anything here raises a number: programs that use the database look at that now and then, and read
//! the apps again when it has grown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::AppTerms;
use super::fault::StoreError;
use super::link::Statement;
use super::row::Value;
use super::store::{Store, millis};
use crate::config::{AppKey, AppSettings};
use crate::units::{AppName, KeyDigest};

/// An app that is kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptApp {
    /// Its name.
    pub name: AppName,
    /// What it is granted.
    pub terms: AppTerms,
    /// Its keys, the oldest first.
    pub keys: Vec<AppKey>,
    /// When it was made, as time since 1970-01-01 UTC; kept to a millisecond.
    pub made_at: Duration,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Duration>,
}

/// All apps of a store at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptApps {
    /// The number that grows with each change.
    pub version: i64,
    /// Each app, by name; those that are revoked among them.
    pub apps: Vec<KeptApp>,
}

impl KeptApp {
    /// Returns the app as it is let in; without keys, if it is revoked.
    pub fn settings(&self) -> AppSettings {
        let keys = if self.revoked_at.is_some() { Vec::new() } else { self.keys.clone() };
        self.terms.settings(self.name.clone(), keys)
    }
}

impl Store {
    /// Returns the number that grows with each change of apps; zero where none was ever kept.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if it cannot be read.
    pub async fn apps_version(&self) -> Result<i64, StoreError> {
        let rows = self.fetch("SELECT number FROM marks WHERE name = 'apps'", []).await?;
        Ok(rows.first().and_then(|row| row.first()?.as_number()).unwrap_or(0))
    }

    /// Returns all apps. What changes while they are read has a higher number than they.
    ///
    /// Rows that cannot be read are skipped with a warning; their keys let nobody in.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if they cannot be read.
    pub async fn apps(&self) -> Result<KeptApps, StoreError> {
        let version = self.apps_version().await?;
        let mut keys: BTreeMap<String, Vec<AppKey>> = BTreeMap::new();
        let sql = "SELECT app, digest, until_ms FROM app_keys ORDER BY made_ms, digest";
        for row in self.fetch(sql, []).await? {
            let app = row.first().and_then(Value::as_text);
            let digest = row.get(1).and_then(Value::as_text).and_then(KeyDigest::from_hex);
            let (Some(app), Some(digest)) = (app, digest) else { continue };
            let until = row.get(2).and_then(Value::as_number).map(time);
            keys.entry(app.to_owned()).or_default().push(AppKey { digest, until });
        }
        let sql = "SELECT name, terms, made_ms, revoked_ms FROM apps ORDER BY name";
        let mut apps = Vec::new();
        for row in self.fetch(sql, []).await? {
            let name = row.first().and_then(Value::as_text).unwrap_or_default();
            let terms = row.get(1).and_then(Value::as_text).unwrap_or_default();
            // An app whose terms nobody can read must not be let in without them.
            let (terms, is_readable) = match serde_json::from_str(terms) {
                Ok(terms) => (terms, true),
                Err(error) => {
                    tracing::warn!(app = name, %error, "the terms of an app cannot be read: its keys do not work");
                    (AppTerms::default(), false)
                }
            };
            let own = keys.remove(name).filter(|_| is_readable).unwrap_or_default();
            apps.push(KeptApp {
                name: AppName::new(name),
                terms,
                keys: own,
                made_at: row.get(2).and_then(Value::as_number).map(time).unwrap_or_default(),
                revoked_at: row.get(3).and_then(Value::as_number).map(time),
            });
        }
        Ok(KeptApps { version, apps })
    }

    /// Adds an app with its first key, in the place of one of that name that was revoked.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then. An app of that name is one: look first.
    pub async fn add_app(
        &self,
        (name, terms): (&AppName, &AppTerms),
        key: KeyDigest,
        now: Duration,
    ) -> Result<(), StoreError> {
        let revoked = "DELETE FROM apps WHERE name = $1 AND revoked_ms IS NOT NULL";
        let app = "INSERT INTO apps (name, terms, made_ms) VALUES ($1, $2, $3)";
        let statements = vec![
            Statement::new(revoked, [name.as_str().into()]),
            Statement::new(app, [name.as_str().into(), json(terms), millis(now).into()]),
            insert_key(name, key, now),
            raise(),
        ];
        self.write(statements).await.map(drop)
    }

    /// Replaces what an app is granted, if it still is `before`. Returns whether it was.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn change_app(
        &self,
        name: &AppName,
        (before, after): (&AppTerms, &AppTerms),
    ) -> Result<bool, StoreError> {
        let change =
            "UPDATE apps SET terms = $1 WHERE name = $2 AND terms = $3 AND revoked_ms IS NULL";
        let values = [json(after), name.as_str().into(), json(before)];
        let changed = self.write(vec![Statement::new(change, values), raise()]).await?;
        Ok(changed > 1)
    }

    /// Gives an app another key; those that it has work until `until`, or not any more.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn rotate_app(
        &self,
        name: &AppName,
        (key, until): (KeyDigest, Option<Duration>),
        now: Duration,
    ) -> Result<(), StoreError> {
        let app = || Value::from(name.as_str());
        let end = until.map_or_else(|| millis(now), millis);
        let shorten = "UPDATE app_keys SET until_ms = $1 WHERE app = $2 AND (until_ms IS NULL OR until_ms > $3)";
        let over = "DELETE FROM app_keys WHERE app = $1 AND until_ms <= $2";
        let statements = vec![
            Statement::new(shorten, [end.into(), app(), end.into()]),
            Statement::new(over, [app(), millis(now).into()]),
            insert_key(name, key, now),
            raise(),
        ];
        self.write(statements).await.map(drop)
    }

    /// Revokes an app: none of its keys works any more.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn revoke_app(&self, name: &AppName, now: Duration) -> Result<(), StoreError> {
        let revoke = "UPDATE apps SET revoked_ms = $1 WHERE name = $2 AND revoked_ms IS NULL";
        let statements = vec![
            Statement::new(revoke, [millis(now).into(), name.as_str().into()]),
            Statement::new("DELETE FROM app_keys WHERE app = $1", [name.as_str().into()]),
            raise(),
        ];
        self.write(statements).await.map(drop)
    }

    /// Forgets an app altogether, as if it had never been.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`]; nothing is changed then.
    pub async fn forget_app(&self, name: &AppName) -> Result<(), StoreError> {
        let statements = vec![
            Statement::new("DELETE FROM apps WHERE name = $1", [name.as_str().into()]),
            Statement::new("DELETE FROM app_keys WHERE app = $1", [name.as_str().into()]),
            raise(),
        ];
        self.write(statements).await.map(drop)
    }
}

fn insert_key(app: &AppName, key: KeyDigest, now: Duration) -> Statement {
    let sql = "INSERT INTO app_keys (digest, app, made_ms) VALUES ($1, $2, $3)";
    Statement::new(sql, [key.to_hex().as_str().into(), app.as_str().into(), millis(now).into()])
}

/// Raises the number that tells of changes.
fn raise() -> Statement {
    let sql = "INSERT INTO marks (name, number) VALUES ('apps', 1) \
               ON CONFLICT (name) DO UPDATE SET number = marks.number + 1";
    Statement::new(sql, [])
}

fn json(terms: &AppTerms) -> Value {
    // Numbers and words cannot fail to be written.
    serde_json::to_string(terms).unwrap_or_default().as_str().into()
}

fn time(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
