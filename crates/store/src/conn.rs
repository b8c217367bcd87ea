//! The thin layer over both engines: one SQL text, three kinds of value, one way to run a statement.

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Val {
    Null,
    Int(i64),
    Text(String),
}

/// A row that was returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row(pub(crate) Vec<Val>);

/// What went wrong in the database, as far as the caller must tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DbErrorKind {
    /// The transaction lost against another (SQLSTATE class 40): it may be repeated at once.
    Contention,
    /// The connection is gone.
    Gone,
    /// Disk full, no permission, out of memory, an IO error.
    Resource,
    /// Everything else: our statement or the stored data is wrong.
    Other,
}

/// A failure of the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct DbError {
    pub(crate) kind: DbErrorKind,
    pub(crate) reason: String,
}

/// A connection. SQLite's futures are ready at once.
pub(crate) trait Conn {
    /// Which database this is.
    fn engine(&self) -> Engine;

    /// Runs statements in order and returns what each returned; over a network they are sent without waiting for one
    /// another. Placeholders are `$1`, `$2`, ...
    async fn query_many(
        &mut self,
        statements: Vec<(&str, Vec<Val>)>,
    ) -> Result<Vec<Vec<Row>>, DbError>;

    /// Runs statements without parameters.
    async fn batch(&mut self, sql: &str) -> Result<(), DbError>;

    /// Whether a transaction is still open after an error; the engine may have rolled it back by itself.
    fn in_transaction(&self) -> bool;

    /// Runs one statement once.
    async fn query(&mut self, sql: &str, params: Vec<Val>) -> Result<Vec<Row>, DbError> {
        let mut rows = self.query_many(vec![(sql, params)]).await?;
        Ok(rows.pop().unwrap_or_default())
    }
}

/// The statement as SQLite wants it: it numbers `$1` by first appearance, so `$N` becomes `?N`; it has no row locks.
pub(crate) fn sqlite_text(sql: &str) -> String {
    sql.replace('$', "?").replace(" for share", "")
}

// === impl ===

impl DbError {
    pub(crate) fn other(reason: impl ToString) -> Self {
        Self {
            kind: DbErrorKind::Other,
            reason: reason.to_string(),
        }
    }
}

impl Row {
    pub(crate) fn int(&self, index: usize) -> Result<i64, DbError> {
        self.opt_int(index)?
            .ok_or_else(|| DbError::other(format!("column {index} is null")))
    }

    pub(crate) fn opt_int(&self, index: usize) -> Result<Option<i64>, DbError> {
        match self.0.get(index) {
            Some(Val::Int(value)) => Ok(Some(*value)),
            Some(Val::Null) => Ok(None),
            other => Err(DbError::other(format!(
                "column {index} is no number: {other:?}"
            ))),
        }
    }

    /// As [`Row::text`], where there may be none.
    pub(crate) fn opt_text(&mut self, index: usize) -> Result<Option<String>, DbError> {
        match self.0.get(index) {
            Some(Val::Null) => Ok(None),
            _ => self.text(index).map(Some),
        }
    }

    /// Moves a text out of the row.
    pub(crate) fn text(&mut self, index: usize) -> Result<String, DbError> {
        match self.0.get_mut(index) {
            Some(Val::Text(value)) => Ok(std::mem::take(value)),
            other => Err(DbError::other(format!(
                "column {index} is no text: {other:?}"
            ))),
        }
    }
}

impl From<i64> for Val {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Option<i64>> for Val {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }
}

impl From<String> for Val {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Val {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
