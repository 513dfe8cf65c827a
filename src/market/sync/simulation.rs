//! Begins and ends the simulated market, which is there only while no real data has ever been read.

use tokio::task::spawn_blocking;

use super::{
    super::{
        providers::{self, Provider},
        store::{self, Claim, PastOfWorld},
    },
    Sync,
};
use crate::{db::DbError, simulation::World};

impl Sync {
    /// Reads which simulated market the database holds, if it is the one of the settings.
    pub(super) async fn load_world(&self) -> Result<Option<World>, DbError> {
        let settings = self.settings.simulation;
        let stored = self.db.query(move |conn| store::stored_world(conn, settings)).await?;
        *self.world.lock() = stored;
        Ok(stored)
    }

    pub(super) fn world(&self) -> Option<World> {
        *self.world.lock()
    }

    /// Returns the source of the simulated market, which begins if it has not; None if there is real data.
    pub(super) async fn simulated_provider(
        &self,
        claim: &Claim,
    ) -> Result<Option<&'static dyn Provider>, DbError> {
        let has_real = self.db.query(|conn| Ok(store::has_real(conn)? && !store::is_simulated(conn)?));
        if has_real.await? {
            return Ok(None);
        }
        let world = match self.world() {
            Some(world) => world,
            None => self.begin_simulation(claim).await?,
        };
        Ok(Some(providers::simulated(&world, self.clock.now())))
    }

    /// Deletes what is left of another simulated market, and writes the past of this one.
    async fn begin_simulation(&self, claim: &Claim) -> Result<World, DbError> {
        self.end_simulation().await?;
        self.renew_lease(claim).await?;
        let world = World::new(self.settings.simulation, self.clock.now());
        let (currencies, count) = (self.settings.currencies.clone(), self.settings.count);
        let past = spawn_blocking(move || PastOfWorld::compute(world, &currencies, count));
        let past = past.await.expect("the computation does not panic");
        self.db.query_tx(move |conn| store::begin_simulation(conn, &world)).await?;
        if let Some(mut past) = past {
            past = self.db.query_tx(move |conn| past.create_coins(conn).map(|()| past)).await?;
            for coin in past.coins() {
                past = self.db.query_tx(move |conn| past.write_coin(conn, coin).map(|()| past)).await?;
            }
            self.db.query_tx(move |conn| past.finish(conn)).await?;
        }
        *self.world.lock() = Some(world);
        let simulation = world.settings();
        tracing::warn!(
            scenario = simulation.scenario.name(),
            speed = simulation.speed,
            seed = simulation.seed,
            "no real market data: prices and posts are simulated"
        );
        Ok(world)
    }

    /// Deletes all simulated data, in steps.
    pub(super) async fn end_simulation(&self) -> Result<(), DbError> {
        let was_simulated = self.db.query(store::is_simulated).await?;
        *self.world.lock() = None;
        if !was_simulated {
            return Ok(());
        }
        while self.db.query_tx(store::clear_simulation).await? {}
        let hooks = self.hooks.clone();
        self.db.query_tx(move |conn| hooks.data_replaced(conn)).await?;
        tracing::info!("deleted the simulated market data");
        Ok(())
    }

    /// Whether a simulated market ended while its posts were read. Then the posts are deleted.
    pub(super) async fn is_replaced(&self, world: Option<World>) -> Result<bool, DbError> {
        let (Some(world), settings) = (world, self.settings.simulation) else { return Ok(false) };
        let is_replaced =
            self.db.query(move |conn| store::stored_world(conn, settings)).await? != Some(world);
        if is_replaced {
            self.clear_late_posts().await?;
        }
        Ok(is_replaced)
    }

    /// Deletes posts that were stored after the simulation had ended, by a reading that was going on.
    pub(super) async fn clear_late_posts(&self) -> Result<(), DbError> {
        while self.db.query_tx(store::clear_late_posts).await? {}
        Ok(())
    }

    /// The time between two slots.
    pub(super) fn interval(&self) -> std::time::Duration {
        if self.world().is_some() { self.settings.simulated_interval } else { self.settings.sync_interval }
    }
}
