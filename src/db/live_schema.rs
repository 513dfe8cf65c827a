//! Whether the schema is still the one that a running server started with.
//!
//! A *newer* schema is fine: a migration keeps what the former version of the server uses, so that servers can be updated
//! one after the other, and an older server must not leave the load balancer as soon as the first new one has migrated. An
//! *older* one, after `mintage rollback`, makes requests fail. So does the same schema after it was reverted and applied
//! again: its tables are empty, but the server still has what was in them in memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use arc_swap::ArcSwapOption;
use diesel::PgConnection;
use tokio::time;

use super::{
    Db, DbError,
    migrate::{applied, known},
};

const INTERVAL: Duration = Duration::from_secs(2);

/// Applied migrations by version, with the time at which each was applied.
type Applied = BTreeMap<String, String>;

/// Compares the schema with that at the start.
pub struct LiveSchema {
    /// Those that this program knows.
    at_start: Applied,
    /// Why requests may fail.
    fault: ArcSwapOption<String>,
}

impl LiveSchema {
    /// Reads which migrations of this program are applied.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn load(conn: &mut PgConnection) -> Result<Self> {
        let (known, mut at_start) = (known()?, applied(conn)?);
        at_start.retain(|version, _| known.contains_key(version));
        Ok(Self { at_start, fault: ArcSwapOption::empty() })
    }

    /// Why the server must not serve, and what to do; None if the schema is in order. Makes no query.
    pub fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// Compares every two seconds. While the database cannot be reached, the last result stays.
    pub async fn watch(&self, db: Db) {
        loop {
            time::sleep(INTERVAL).await;
            let fault = match db.query(applied).await {
                Ok(now) => fault(&self.at_start, &now),
                Err(DbError::Query(error)) => Some(format!("the applied migrations cannot be read: {error}")),
                Err(_) => continue,
            };
            let before = self.fault.swap(fault.clone().map(Arc::new));
            if let Some(fault) = fault
                && before.is_none_or(|before| *before != fault)
            {
                tracing::error!(fault, "the schema of the database does not fit: this server is not ready");
            }
        }
    }
}

fn fault(at_start: &Applied, now: &Applied) -> Option<String> {
    let missing = at_start.keys().filter(|version| !now.contains_key(*version)).count();
    if missing > 0 {
        return Some(format!(
            "the schema lacks migrations of this version ({missing}): run `mintage migrate`, then restart the server"
        ));
    }
    let is_other = at_start.iter().any(|(version, at)| now.get(version) != Some(at));
    is_other.then(|| {
        "the schema was reverted and applied again since the start, so data in memory may be gone from the database: \
         restart the server"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(versions: &[(&str, &str)]) -> Applied {
        versions.iter().map(|(version, at)| ((*version).to_owned(), (*at).to_owned())).collect()
    }

    #[test]
    fn a_newer_schema_fits_and_an_older_or_another_one_does_not() {
        let at_start = applied(&[("1", "mon"), ("2", "tue")]);
        let fault = |now: &[(&str, &str)]| fault(&at_start, &applied(now)).unwrap_or_default();
        assert_eq!(fault(&[("1", "mon"), ("2", "tue")]), "");
        assert_eq!(fault(&[("1", "mon"), ("2", "tue"), ("3", "wed")]), "");
        assert!(fault(&[("1", "mon")]).contains("(1)"));
        assert!(fault(&[("1", "mon"), ("3", "wed")]).contains("(1)"));
        assert!(fault(&[]).contains("(2)"));
        assert!(fault(&[("1", "mon"), ("2", "wed")]).contains("restart the server"));
    }
}
