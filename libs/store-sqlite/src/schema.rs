//! The tables, and which version of them this is.

use rusqlite::{Connection, config::DbConfig};

/// The version that this code writes. It reads no other: there was none before.
pub(crate) const VERSION: i32 = 1;

/// A job's small, changing part stands apart from its body, so that a note does not write the body again.
const TABLES: &str = "
CREATE TABLE jobs (
    rank INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL,
    owner BLOB NOT NULL,
    fence INTEGER NOT NULL,
    ids_reserved INTEGER NOT NULL,
    ended INTEGER,
    note BLOB,
    sum INTEGER NOT NULL
) STRICT;
CREATE TABLE bodies (
    rank INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE TABLE segments (
    rank INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    events INTEGER NOT NULL,
    frames BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (rank, first_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
    shelf INTEGER NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (shelf, name)
) STRICT, WITHOUT ROWID;
";

/// Makes the tables in an empty file.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))
}

/// What is wrong with the tree of pages as a whole, if anything is.
pub(crate) fn unsound(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let told: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((told != "ok").then_some(told))
}

/// The version of the tables in a file; 0 when there are none.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// How each connection must plan: once. The planner would look at what is bound, and so plan each call anew.
pub(crate) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// How the connection that writes must work: the log is on the disk when a commit returns.
//= ORCH-3400
pub(crate) fn tune_writer(connection: &Connection) -> rusqlite::Result<()> {
    plan_once(connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;",
    )
}
