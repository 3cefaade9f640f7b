//! Reads the configuration and turns it into checked settings.

mod settings;

pub use self::settings::{
    AccountSettings, AppSettings, Dialect, Disconnect, KeySettings, LimitRule, LineSettings,
    LogFormat, ModelPattern, ServerSettings, Settings, TimeoutSettings, UpstreamSettings,
};
