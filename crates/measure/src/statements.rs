//! PostgreSQL's statement counters.

use std::str::FromStr as _;
use std::time::Duration;

use bellwether_lab::queries::Counters;
use bellwether_model::Secret;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection that reads `pg_stat_statements`.
pub struct Counter {
    client: Client,
    drive: tokio::task::JoinHandle<()>,
}

/// Why the counters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CounterError {
    #[error("the database's address: {0}")]
    Address(tokio_postgres::Error),
    #[error("connect to the database: {0}")]
    Connect(String),
    #[error(
        "pg_stat_statements is not there: add it to shared_preload_libraries, restart, and CREATE EXTENSION pg_stat_statements ({0})"
    )]
    Missing(String),
    #[error("read pg_stat_statements: {0}")]
    Read(String),
}

const CONNECT: Duration = Duration::from_secs(5);
/// Our own statements carry this, and are not counted.
const OWN: &str = "/* bellwether */";

impl Counter {
    /// Connects. The password is part of the address.
    pub async fn connect(address: &Secret) -> Result<Self, CounterError> {
        let mut config = Config::from_str(address.expose()).map_err(CounterError::Address)?;
        config
            .application_name("bellwether")
            .connect_timeout(CONNECT);
        let failed = |error: tokio_postgres::Error| CounterError::Connect(chain(&error));
        let (client, drive) = if config.get_ssl_mode() == SslMode::Require {
            drop(rustls::crypto::ring::default_provider().install_default());
            let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(|_| {
                CounterError::Connect("the system has no certificates of authorities".to_owned())
            })?;
            let (client, connection) = config.connect(tls).await.map_err(failed)?;
            (client, driven(connection))
        } else {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            (client, driven(connection))
        };
        let counter = Self { client, drive };
        counter
            .read()
            .await
            .map_err(|error| CounterError::Missing(error.to_string()))?;
        Ok(counter)
    }

    /// Calls of each statement of this database so far, by its text without constants.
    pub async fn read(&self) -> Result<Counters, CounterError> {
        let sql = format!(
            "{OWN} SELECT s.query, sum(s.calls)::bigint FROM pg_stat_statements s \
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() \
             AND s.query NOT LIKE '/* bellwether */%' GROUP BY 1"
        );
        let rows = self
            .client
            .query(&sql, &[])
            .await
            .map_err(|error| CounterError::Read(chain(&error)))?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let query: String = row.try_get(0).ok()?;
                let calls: i64 = row.try_get(1).ok()?;
                Some((query, calls.unsigned_abs()))
            })
            .collect())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.drive.abort();
    }
}

/// The connection's own task: ends with the client or the connection, which the client then reports.
fn driven<C>(connection: C) -> tokio::task::JoinHandle<()>
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        drop(connection.await);
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
