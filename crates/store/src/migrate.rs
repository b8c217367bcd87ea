//! The schema and its steps.

use crate::conn::{Conn, DbError, Engine};
use crate::error::StoreError;
use crate::ops::Fail;

/// All steps in order; a step that was released never changes.
const STEPS: [(u32, &str); 2] = [
    (1, include_str!("migrations/0001_state.sql")),
    (2, include_str!("migrations/0002_chain.sql")),
];

/// The schema this version writes.
pub(crate) const SCHEMA_VERSION: u32 = STEPS[STEPS.len() - 1].0;

/// The part of a step that is meant for an engine.
fn part_for(engine: Engine, step: &str) -> String {
    let own = match engine {
        Engine::Sqlite => "-- [sqlite]",
        Engine::Postgres => "-- [postgres]",
    };
    let mut wanted = false;
    let mut sql = String::new();
    for line in step.lines() {
        if line.starts_with("-- [") {
            wanted = line == "-- [all]" || line == own;
        } else if wanted {
            sql.push_str(line);
            sql.push('\n');
        }
    }
    sql
}

/// Brings the schema up to date. The caller has begun a transaction in which nobody else can do the same.
pub(crate) async fn migrate<C: Conn>(conn: &mut C, place: &str) -> Result<(), Fail> {
    conn.batch("create table if not exists schema_version (version bigint not null primary key)")
        .await?;
    let rows = conn
        .query("select max(version) from schema_version", Vec::new())
        .await?;
    let found = rows.first().map_or(Ok(None), |row| row.opt_int(0))?;
    let found = found.and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
    if found > SCHEMA_VERSION {
        return Err(Fail::Refused(StoreError::NewerSchema {
            place: place.to_owned(),
            found,
            known: SCHEMA_VERSION,
        }));
    }
    for (version, step) in STEPS.iter().filter(|(version, _)| *version > found) {
        conn.batch(&part_for(conn.engine(), step)).await?;
        conn.query(
            "insert into schema_version (version) values ($1)",
            vec![i64::from(*version).into()],
        )
        .await?;
        tracing::debug!(version, place, "schema step applied");
    }
    Ok(())
}

/// The schema version in a database.
pub(crate) async fn version<C: Conn>(conn: &mut C) -> Result<u32, DbError> {
    let rows = conn
        .query("select max(version) from schema_version", Vec::new())
        .await?;
    let version = rows.first().map_or(Ok(0), |row| row.int(0))?;
    Ok(u32::try_from(version).unwrap_or(0))
}
