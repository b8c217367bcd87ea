//! Alertmanager's `global`.

use std::time::Duration;

use super::{HttpConfig, SmtpSettings};

/// Settings that hold unless a receiver says otherwise.
#[derive(Clone, Debug)]
pub struct Global {
    pub resolve_timeout: Duration,
    pub http: HttpConfig,
    pub smtp: SmtpSettings,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_secs(300),
            http: HttpConfig::default(),
            smtp: SmtpSettings {
                hello: "localhost".to_owned(),
                require_tls: true,
                ..SmtpSettings::default()
            },
        }
    }
}
