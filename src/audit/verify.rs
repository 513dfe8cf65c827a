//! Recomputes the hash chain, and finds events that were changed, inserted or deleted.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::chain::{ChainKey, Ends, Hash, Link};
use crate::{
    db::schema::{audit_chains, security_events},
    tokens::Sealer,
};

/// Events that are read at a time.
const BATCH: i64 = 1000;
/// Faults that are described; further ones are counted.
const MAX_FAULTS: usize = 100;
/// Events are sealed within seconds. One that is not sealed after this time was perhaps inserted by hand.
const MAX_UNSEALED: TimeDelta = TimeDelta::minutes(10);

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Report {
    /// Events whose hashes were recomputed.
    pub verified: u64,
    /// Those among them whose personal data were erased.
    pub erased: u64,
    /// Events that are not sealed yet.
    pub unsealed: u64,
    /// Events of chains whose key is lost.
    pub unverifiable: u64,
    /// The newest event of the chain: its number and hash. Kept outside of the database, they prove later that nothing
    /// was cut off.
    pub head: Option<(i64, String)>,
    /// What is wrong, in words; at most [`MAX_FAULTS`].
    pub faults: Vec<String>,
    /// Faults that are not described.
    pub more_faults: u64,
}

impl Report {
    fn fault(&mut self, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(text);
        } else {
            self.more_faults += 1;
        }
    }
}

/// Recomputes the chain. `head` is the number and the hash of an event that were noted earlier: the chain must contain
/// it. Call it in a transaction that is `REPEATABLE READ`.
pub fn verify(
    conn: &mut PgConnection,
    sealer: &Sealer,
    head: Option<(i64, &str)>,
    now: DateTime<Utc>,
) -> QueryResult<Report> {
    let mut report = Report::default();
    let chains: Vec<Ends> =
        audit_chains::table.order(audit_chains::id).select(Ends::as_select()).load(conn)?;
    if chains.is_empty() {
        report.fault("there is no chain: its row was deleted, or no server has started yet".into());
    }
    for ends in &chains {
        if let Some(key) = ChainKey::open(sealer, ends) {
            verify_chain(conn, &key, ends, head, &mut report)?;
            continue;
        }
        let events = security_events::table.filter(security_events::chain.eq(ends.id));
        report.unverifiable += events.count().get_result::<i64>(conn)?.unsigned_abs();
        if chains.last().is_some_and(|last| last.id == ends.id) {
            let text = "the key of the newest chain was encrypted with another SECRET_KEY: set that one";
            report.fault(text.into());
        }
    }
    verify_erased(conn, &mut report)?;
    verify_unsealed(conn, now, &mut report)?;
    Ok(report)
}

fn verify_chain(
    conn: &mut PgConnection,
    key: &ChainKey,
    ends: &Ends,
    head: Option<(i64, &str)>,
    report: &mut Report,
) -> QueryResult<()> {
    if key.mac(ends) != ends.mac {
        report.fault(format!("the ends of chain {} were changed", ends.id));
    }
    let mut last = (ends.pruned_seq, Some(ends.pruned_hash.clone()));
    loop {
        let links: Vec<Link> = security_events::table
            .filter(security_events::chain.eq(ends.id).and(security_events::seq.gt(last.0)))
            .order(security_events::seq)
            .limit(BATCH)
            .select(Link::as_select())
            .load(conn)?;
        let is_over = i64::try_from(links.len()).is_ok_and(|count| count < BATCH);
        for link in &links {
            last = verify_link(key, last, link, report);
            if let (Some((seq, hash)), Some(found)) = (head, &last.1)
                && seq == last.0
                && !hash.eq_ignore_ascii_case(&hex(found))
            {
                report.fault(format!("event {seq} has another hash than the one that was noted"));
            }
        }
        if is_over {
            break;
        }
    }
    if last.0 != ends.last_seq || last.1.as_ref() != Some(&ends.last_hash) {
        report.fault(missing(last.0 + 1, ends.last_seq.max(last.0 + 1)));
    }
    if let Some((seq, _)) = head
        && seq > last.0
    {
        report.fault(missing(last.0 + 1, seq));
    }
    report.head = Some((ends.last_seq, hex(&ends.last_hash)));
    Ok(())
}

/// Verifies one event against the one before; returns its number and hash.
fn verify_link(
    key: &ChainKey,
    (last_seq, last_hash): (i64, Option<Hash>),
    link: &Link,
    report: &mut Report,
) -> (i64, Option<Hash>) {
    let (Some(seq), Some(digest), Some(hash)) = (link.seq, &link.private_digest, &link.hash) else {
        unreachable!("only sealed events are selected, and a constraint makes them whole");
    };
    let name = || format!("event {seq} ({}, {} of {})", link.id, link.kind, link.at.format("%F %T UTC"));
    let before = if seq == last_seq + 1 {
        last_hash
    } else {
        report.fault(missing(last_seq + 1, seq - 1));
        None
    };
    // After a gap only the event's own data can be verified, not its link.
    if let Some(before) = before
        && key.hash(&before, seq, link, digest) != *hash
    {
        report.fault(format!("{} was changed", name()));
    }
    if link.erased_at.is_some() {
        report.erased += 1;
    } else if key.digest(link) != *digest {
        report.fault(format!("{}: its address, user agent or details were changed", name()));
    }
    report.verified += 1;
    (seq, Some(hash.clone()))
}

/// Finds events that were erased although their account was not purged.
fn verify_erased(conn: &mut PgConnection, report: &mut Report) -> QueryResult<()> {
    let wrong: Vec<Erased> = sql_query(format!(
        "SELECT e.seq, e.kind, count(*) OVER () AS total FROM security_events e WHERE e.erased_at IS NOT NULL \
         AND (EXISTS (SELECT FROM users u WHERE u.id = e.user_id) \
         OR NOT EXISTS (SELECT FROM security_events p WHERE p.user_id = e.user_id AND p.kind = 'user-purged')) \
         ORDER BY e.seq LIMIT {MAX_FAULTS}"
    ))
    .load(conn)?;
    let total = wrong.first().map_or(0, |erased| erased.total.unsigned_abs());
    report.more_faults += total - wrong.len() as u64;
    for Erased { seq, kind, .. } in wrong {
        report.fault(format!("event {seq} ({kind}) was erased, although its account was not purged"));
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Erased {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

fn verify_unsealed(conn: &mut PgConnection, now: DateTime<Utc>, report: &mut Report) -> QueryResult<()> {
    let unsealed = security_events::table.filter(security_events::seq.is_null());
    let late = unsealed.filter(security_events::at.lt(now - MAX_UNSEALED));
    report.unsealed = unsealed.count().get_result::<i64>(conn)?.unsigned_abs();
    let late: i64 = late.count().get_result(conn)?;
    if late > 0 {
        report.fault(format!(
            "{late} events are older than {} minutes and not sealed: no server is running with the right \
             SECRET_KEY, or they were inserted by hand",
            MAX_UNSEALED.num_minutes()
        ));
    }
    Ok(())
}

fn missing(first: i64, last: i64) -> String {
    if first >= last {
        format!("event {first} is missing")
    } else {
        format!("events {first} to {last} are missing")
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
