//! Reports which lock a start or a command waits for, and who holds it.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use diesel::{
    OptionalExtension, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    dsl::sql,
    select, sql_query,
    sql_types::{Bool, Integer, Nullable, Text},
};
use parking_lot::Mutex;

use super::connection::connect;
use crate::config::Secret;

/// Interval of the queries whether the work waits.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Selects the lock that a backend waits for, and the first of its holders.
const WAITING: &str = "\
    SELECT l.locktype = 'advisory' AS is_advisory, l.relation::regclass::text AS relation, \
    h.pid, h.application_name \
    FROM pg_locks l \
    LEFT JOIN LATERAL (SELECT a.pid, a.application_name FROM pg_stat_activity a \
    WHERE a.pid = ANY (pg_blocking_pids(l.pid)) ORDER BY a.pid LIMIT 1) h ON true \
    WHERE l.pid = $1 AND NOT l.granted LIMIT 1";

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = Bool)]
    is_advisory: bool,
    #[diesel(sql_type = Nullable<Text>)]
    relation: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pid: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    application_name: Option<String>,
}

impl Waiting {
    fn describe(&self) -> String {
        // Advisory locks are used for nothing else.
        let what = match &self.relation {
            _ if self.is_advisory => "another server to apply its migrations",
            Some(relation) => &format!("a lock on {relation}"),
            None => "a lock on a row",
        };
        let application = self.application_name.as_deref().filter(|name| !name.is_empty());
        let application = application.map_or_else(String::new, |name| format!(", application {name:?}"));
        let holder = self.pid.map_or_else(String::new, |pid| format!(" (held by pid {pid}{application})"));
        format!("{what}{holder}")
    }
}

/// Does `work` on a connection with a `lock_timeout`. If it waits for a lock, logs once which one and who holds it;
/// if the wait times out, the error contains the same.
pub fn naming_locks<T>(
    url: &Secret,
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let backend = select(sql::<Integer>("pg_backend_pid()")).get_result(conn)?;
    let waits_for = Arc::new(Mutex::new(None));
    let (done, until) = mpsc::channel();
    let (url, seen) = (url.clone(), waits_for.clone());
    // Not joined, since it may hang on a stalled PostgreSQL.
    thread::spawn(move || watch(&url, backend, &until, &seen));
    let result = work(conn);
    drop(done);
    result.map_err(|error| {
        if !format!("{error:#}").contains("due to lock timeout") {
            return error;
        }
        let lock = waits_for.lock().take();
        let lock = lock.unwrap_or_else(|| "a lock".into());
        error.context(format!("gave up waiting for {lock}; end that transaction, then try again"))
    })
}

fn watch(url: &Secret, backend: i32, until: &Receiver<()>, seen: &Mutex<Option<String>>) {
    let mut connection = None;
    while until.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if connection.is_none() {
            connection = connect(url).ok();
        }
        let Some(conn) = &mut connection else {
            continue;
        };
        match waiting(conn, backend) {
            Ok(Some(waiting)) => {
                let text = waiting.describe();
                let mut seen = seen.lock();
                if seen.as_ref() != Some(&text) {
                    tracing::info!("waiting for {text}");
                    *seen = Some(text);
                }
            }
            Ok(None) => {}
            Err(_) => connection = None,
        }
    }
}

fn waiting(conn: &mut PgConnection, backend: i32) -> QueryResult<Option<Waiting>> {
    sql_query(WAITING).bind::<Integer, _>(backend).get_result(conn).optional()
}
