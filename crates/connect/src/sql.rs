//! SQL steps on PostgreSQL, exactly once.
//!
//! A step that changes something writes its key into the table `bellwether_step` in the same transaction: a repeat of
//! the same key finds the row (waiting for a transaction that is still open) and does nothing more. A step that only
//! reads runs in a read-only transaction. Values are bound parameters, never text of the statement.

use std::time::Duration;

use bellwether_model::Secret;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(10);
/// Time the server may take beyond the statement's own timeout before the outcome counts as unknown.
const SLACK: Duration = Duration::from_secs(5);
/// Rows of an answer that are shown, and bytes of one value.
const ROWS_MAX: usize = 1_000;
const VALUE_MAX: usize = 2_000;
const TABLE: &str = "create table if not exists bellwether_step \
                     (key text primary key, at timestamptz not null default now())";

/// A statement to run.
#[derive(Clone, Debug)]
pub struct SqlCall {
    /// `postgres://user@host/database`; may hold a password.
    pub url: Secret,
    /// The same key never changes anything twice.
    pub key: String,
    pub body: String,
    /// Bound as `$1`, `$2`… in text form.
    pub params: Vec<String>,
    pub read_only: bool,
    /// Rows as JSON objects, one per line, instead of a table.
    pub json: bool,
    pub timeout: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlOutcome {
    /// It was done; the rows as text.
    Answered {
        text: String,
    },
    /// The database refused it; nothing was changed.
    Refused {
        error: String,
    },
    /// There was no connection; it never ran.
    NotStarted {
        error: String,
    },
    /// The connection broke after the commit was asked for.
    Unknown {
        reason: String,
    },
    TimedOut,
}

/// A value in text form for a parameter of any type.
#[derive(Debug)]
struct TextParam<'a>(&'a str);

impl ToSql for TextParam<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Why a statement did not end well.
enum Fault {
    Refused(String),
    Unknown(String),
}

/// Runs a statement.
pub async fn call(call: &SqlCall) -> SqlOutcome {
    let client = match tokio::time::timeout(CONNECT, connect(call.url.expose())).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return SqlOutcome::NotStarted { error },
        Err(_) => {
            return SqlOutcome::NotStarted {
                error: format!("no connection to the database within {CONNECT:?}"),
            };
        }
    };
    match tokio::time::timeout(call.timeout + SLACK, perform(&client, call)).await {
        Ok(Ok(text)) => SqlOutcome::Answered { text },
        Ok(Err(Fault::Refused(error))) if error.contains("statement timeout") => {
            SqlOutcome::TimedOut
        }
        Ok(Err(Fault::Refused(error))) => SqlOutcome::Refused { error },
        Ok(Err(Fault::Unknown(reason))) => SqlOutcome::Unknown { reason },
        Err(_) if call.read_only => SqlOutcome::TimedOut,
        Err(_) => SqlOutcome::Unknown {
            reason: "the database gave no answer".to_owned(),
        },
    }
}

async fn connect(url: &str) -> Result<Client, String> {
    let config: Config = url
        .parse()
        // The error might repeat the address, and the address has a password.
        .map_err(|_| {
            "the database's address cannot be read: postgres://user@host/name".to_owned()
        })?;
    if config.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (tls, _) = MakeRustlsConnect::with_native_certs()
            .map_err(|_| "the system has no certificates of authorities".to_owned())?;
        let (client, connection) = config.connect(tls).await.map_err(|e| words(&e))?;
        tokio::spawn(async move { drop(connection.await) });
        return Ok(client);
    }
    let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// An error with what the server says about it.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{} ({})", db.message(), db.code().code());
            for more in [db.detail(), db.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(more);
            }
            text
        }
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

/// A refusal by the server changed nothing; a broken connection before the commit did not either.
fn before_commit(error: &tokio_postgres::Error) -> Fault {
    Fault::Refused(words(error))
}

async fn perform(client: &Client, call: &SqlCall) -> Result<String, Fault> {
    let begin = if call.read_only {
        "begin read only"
    } else {
        "begin"
    };
    let ms = call.timeout.as_millis().max(1);
    let lock = (ms / 2).max(1);
    if !call.read_only {
        client
            .batch_execute(TABLE)
            .await
            .map_err(|e| before_commit(&e))?;
    }
    client
        .batch_execute(&format!(
            "{begin}; set local statement_timeout = '{ms}ms'; set local lock_timeout = '{lock}ms'"
        ))
        .await
        .map_err(|e| before_commit(&e))?;
    if !call.read_only {
        let marked = client
            .execute(
                "insert into bellwether_step (key) values ($1) on conflict do nothing",
                &[&call.key],
            )
            .await
            .map_err(|e| before_commit(&e))?;
        if marked == 0 {
            drop(client.batch_execute("rollback").await);
            return Ok("it was done before; nothing was repeated\n".to_owned());
        }
    }
    let text = rows(client, call).await.map_err(|e| before_commit(&e))?;
    match client.batch_execute("commit").await {
        Ok(()) => Ok(text),
        Err(error) if error.as_db_error().is_some() || call.read_only => Err(before_commit(&error)),
        Err(error) => Err(Fault::Unknown(format!(
            "the connection broke during the commit: {error}"
        ))),
    }
}

async fn rows(client: &Client, call: &SqlCall) -> Result<String, tokio_postgres::Error> {
    if call.params.is_empty() && !call.json {
        return Ok(table(&client.simple_query(&call.body).await?));
    }
    let body = call.body.trim().trim_end_matches(';').trim_end();
    let params: Vec<TextParam<'_>> = call.params.iter().map(|text| TextParam(text)).collect();
    let params: Vec<&(dyn ToSql + Sync)> =
        params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    let statement = client.prepare(body).await?;
    if statement.columns().is_empty() {
        let count = client.execute(&statement, &params).await?;
        return Ok(format!("{count} rows\n"));
    }
    // As JSON, so that values of every type come as text.
    let wrapped = format!("with answer as ({body}) select row_to_json(answer)::text from answer");
    let found = client.query(&wrapped, &params).await?;
    let mut text = String::new();
    for row in found.iter().take(ROWS_MAX) {
        text.push_str(row.try_get(0)?);
        text.push('\n');
    }
    if found.is_empty() && !call.json {
        text.push_str("no rows\n");
    }
    Ok(text)
}

/// Rows as psql shows them: a heading, a line, columns of equal width.
fn table(messages: &[SimpleQueryMessage]) -> String {
    let mut out = String::new();
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut left_out = 0_usize;
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                lines = vec![
                    columns
                        .iter()
                        .map(|column| column.name().to_owned())
                        .collect(),
                ];
                left_out = 0;
            }
            SimpleQueryMessage::Row(row) if lines.len() <= ROWS_MAX => {
                let value = |index| row.get(index).unwrap_or_default();
                let short =
                    |text: &str| text[..text.floor_char_boundary(VALUE_MAX)].replace('\n', " ");
                lines.push((0..row.len()).map(|index| short(value(index))).collect());
            }
            SimpleQueryMessage::Row(_) => left_out += 1,
            SimpleQueryMessage::CommandComplete(count) => {
                if lines.is_empty() {
                    out.push_str(&format!("{count} rows\n"));
                } else {
                    write_lines(&std::mem::take(&mut lines), &mut out);
                    if left_out > 0 {
                        out.push_str(&format!("… and {left_out} more\n"));
                    }
                    out.push_str(&format!("({count} rows)\n"));
                }
            }
            _ => {}
        }
    }
    out
}

fn write_lines(lines: &[Vec<String>], out: &mut String) {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = lines.iter().filter_map(|line| line.get(column));
        widths
            .map(|value| value.chars().count())
            .max()
            .unwrap_or(0)
            .min(60)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(value, width)| format!("{value:<width$}"))
            .collect();
        out.push_str(cells.join(" | ").trim_end());
        out.push('\n');
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            out.push_str(&rule.join("-+-"));
            out.push('\n');
        }
    }
}
