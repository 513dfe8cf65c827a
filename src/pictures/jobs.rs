//! Deletes files that no account refers to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, convert::SIZES, key, references};
use crate::{
    db::Db,
    jobs::{self, Failure, Job, Running},
    storage::{Storage, StorageError},
};

/// Uploads that are not complete are younger than this, although their account does not refer to them yet.
const MIN_AGE: TimeDelta = TimeDelta::days(1);
/// How long a run of the sweep goes on; another job continues. A run has 3 minutes.
const MAX_RUN: Duration = Duration::from_mins(1);
/// Files that a sweep looks at in one of the 256 parts.
const MAX_LISTED: usize = 50_000;
/// Hashes of one query.
const BATCH: usize = 500;

/// Deletes the files of a picture that was replaced or removed, or whose account was deleted.
#[derive(Serialize, Deserialize)]
pub struct DeletePicture {
    pub hash: String,
}

impl Job for DeletePicture {
    const KIND: &'static str = "delete-picture";
    type Context = (Db, Arc<Storage>);

    async fn run(self, _: Running, (db, storage): &Self::Context) -> Result<(), Failure> {
        let hashes = vec![self.hash.clone()];
        if db.query(move |conn| references::in_use(conn, &hashes)).await?.is_empty() {
            for size in SIZES {
                storage.delete(&key(&self.hash, size)).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Deletes files that are older than a day and belong to no account: of uploads that failed before the account referred
/// to them, and of jobs that were lost.
#[derive(Serialize, Deserialize)]
pub struct SweepPictures {
    /// The part to begin with.
    pub part: u16,
}

impl Job for SweepPictures {
    const KIND: &'static str = "sweep-pictures";
    type Context = (Db, Arc<Storage>);

    async fn run(self, running: Running, (db, storage): &Self::Context) -> Result<(), Failure> {
        // A new database beside the files of another one: after a loss, or by a mistake in the settings. A dump that
        // is restored later refers to them.
        if !db.query(references::any).await? {
            return Ok(());
        }
        let began = Instant::now();
        for part in self.part..256 {
            if began.elapsed() > MAX_RUN {
                let rest = Self { part };
                db.query_tx(move |conn| jobs::enqueue(conn, &rest, running.now)).await?;
                return Ok(());
            }
            sweep(db, storage, part, running).await?;
        }
        Ok(())
    }
}

async fn sweep(db: &Db, storage: &Storage, part: u16, running: Running) -> Result<(), Failure> {
    let limit = running.now - MIN_AGE;
    let listed = storage.list(&format!("{DIRECTORY}/{part:02x}"), MAX_LISTED).await.map_err(failed)?;
    let mut by_hash: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in listed {
        // Files of another form are not ours.
        if let [_, _, hash, _] = *file.key.split('/').collect::<Vec<_>>()
            && hash.len() == 64
            && file.modified_at < limit
        {
            by_hash.entry(hash.to_owned()).or_default().push(file.key);
        }
    }
    let hashes: Vec<String> = by_hash.keys().cloned().collect();
    for batch in hashes.chunks(BATCH) {
        let asked = batch.to_vec();
        let in_use = db.query(move |conn| references::in_use(conn, &asked)).await?;
        let in_use: HashSet<String> = in_use.into_iter().collect();
        let orphans: Vec<_> = batch.iter().filter(|hash| !in_use.contains(*hash)).collect();
        for key in orphans.iter().flat_map(|hash| &by_hash[*hash]) {
            storage.delete(key).await.map_err(failed)?;
        }
        if !orphans.is_empty() {
            tracing::info!(count = orphans.len(), "deleted pictures that belong to no account");
        }
    }
    Ok(())
}

fn failed(error: StorageError) -> Failure {
    Failure::Retry(error.into())
}
