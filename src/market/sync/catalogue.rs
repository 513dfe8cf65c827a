//! Renews the catalogue, the names of all coins that a provider knows, once a day.

use std::time::Instant;

use tokio::time;

use super::{
    super::{
        providers::{self, Catalogue, CatalogueCoin, Provider},
        store::{self, CatalogueClaim},
    },
    Sync, check_interval,
};
use crate::{
    db::DbError,
    upstream::{self, Failure, after_failure},
};

type Source = (&'static dyn Provider, &'static dyn Catalogue);

impl Sync {
    /// Renews the catalogue whenever it is a day old, until the task is aborted; ends at once if no provider has one.
    pub(super) async fn renew_catalogue(&self) {
        let sources: Vec<Source> = providers::catalogues(&self.settings).collect();
        if !self.settings.catalogue || sources.is_empty() {
            return;
        }
        let mut ticks = time::interval(check_interval(self.settings.sync_interval));
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.renew_if_due(&sources).await {
                tracing::warn!(%error, "cannot renew the list of all coins; it will be retried");
            }
        }
    }

    async fn renew_if_due(&self, sources: &[Source]) -> Result<(), DbError> {
        let now = self.clock.now();
        let name = |(provider, _): &Source| (provider.name(), self.spare_limits(provider.name(), now));
        let offered: Vec<_> = sources.iter().map(name).collect();
        let claimed = self.db.query_tx(move |conn| store::claim_catalogue(conn, &offered, now)).await?;
        let Some(claim) = claimed else { return Ok(()) };
        let (provider, catalogue) =
            *sources.iter().find(|(provider, _)| provider.name() == claim.provider).expect("it was offered");
        let begin = Instant::now();
        let read = self.charged(provider, 1, async |call| catalogue.read(call).await).await;
        self.upstream.outcomes().count(claim.provider, read.is_ok(), begin.elapsed());
        match read {
            Ok(coins) => self.store_catalogue(provider, coins).await,
            Err(failure) => self.record_failed_catalogue(claim, failure).await,
        }
    }

    /// Replaces the catalogue, in parts, so that no transaction takes long.
    async fn store_catalogue(
        &self,
        provider: &'static dyn Provider,
        coins: Vec<CatalogueCoin>,
    ) -> Result<(), DbError> {
        let (namespace, count, now) = (provider.id_namespace(), coins.len(), self.clock.now());
        for part in store::parts(&coins) {
            let part = part.to_vec();
            self.db.query(move |conn| store::put_catalogue(conn, namespace, &part)).await?;
        }
        let ids: Vec<String> = coins.into_iter().map(|coin| coin.provider_coin_id).collect();
        let finish = self.db.query_tx(move |conn| {
            store::retain_catalogue(conn, namespace, &ids)?;
            upstream::record_success(conn, &store::catalogue_service(provider.name()), now)
        });
        finish.await?;
        tracing::debug!(provider = provider.name(), count, "the list of all coins is renewed");
        Ok(())
    }

    async fn record_failed_catalogue(&self, claim: CatalogueClaim, failure: Failure) -> Result<(), DbError> {
        let (CatalogueClaim { provider, before }, now) = (claim, self.clock.now());
        let Failure { message, advice, .. } = failure;
        tracing::debug!(provider, error = message, "the list of all coins is unavailable");
        let record = move |conn: &mut diesel::PgConnection| {
            let state = after_failure(&before, advice, now);
            upstream::record_failure(conn, &store::catalogue_service(provider), &state, &message, now)
        };
        self.db.query(record).await
    }
}
