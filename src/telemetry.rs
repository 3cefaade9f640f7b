//! Placeholder of `telemetry`.
