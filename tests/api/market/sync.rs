//! Slots: one replica runs each, and an admin may ask for one.

use std::time::Duration;

use chrono::TimeDelta;
use diesel::{RunQueryDsl, sql_query, sql_types::Timestamptz};
use mintage::clock::Clock;
use serde_json::Value;

use crate::support::{
    SECRET_KEY,
    binary::{Server, directory},
    eventually,
    market::{COINS, Market, SYNC, changed, claims, fresh, from, until},
    noted::until_failed,
    upstream::Reply,
};

/// One row while the slot is in its first attempt; waits for a claim that has not been committed yet.
const FIRST_ATTEMPT: &str =
    "SELECT count(*) FROM (SELECT FROM sync_slots WHERE attempt = 1 FOR UPDATE) AS unclaimed";

async fn until_requested(market: &Market, times: usize) {
    eventually("so many requests", async || market.coingecko.requests().len() >= times).await;
}

#[tokio::test]
async fn an_admin_sees_the_slots_and_the_next_run() {
    let market = Market::start().await;
    let app = market.app("coingecko,demo", &[]);
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!(status["interval_seconds"], 86_400);
    let slot = &status["slots"][0];
    assert_eq!((&slot["state"], &slot["provider"]), (&"done".into(), &"coingecko".into()));
    assert_eq!((&slot["requested"], &slot["attempts"]), (&false.into(), &1.into()));
    assert_eq!(status["providers"].as_array().unwrap().len(), 1, "no request is sent for demo data");
    assert_eq!(status["providers"][0]["used_today"], 1);
    let next = status["next_run_at"].as_str().unwrap();
    assert!(next > slot["slot"].as_str().unwrap(), "{status}");
}

#[tokio::test]
async fn an_admin_starts_a_sync_and_simultaneous_requests_are_merged() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    let other = app.replica();
    let admin = app.admin().await;
    from(&admin, "coingecko").await;
    assert_eq!(market.coingecko.requests().len(), 1);
    let first = admin.post_empty(SYNC).await.assert(202);
    assert_eq!(first.header("location"), format!("http://mintage.test{SYNC}"));
    let second = admin.on(&other.base).post_empty(SYNC).await.assert(202);
    let status = until(&admin, SYNC, |status| {
        status["slots"][0]["requested"] == true && status["slots"][0]["state"] == "done"
    })
    .await;
    // The second came before the first had begun, or it is a run of its own.
    let runs: usize = if first.json() == second.json() { 1 } else { 2 };
    let unfinished = "SELECT count(*) FROM sync_slots WHERE finished_at IS NULL";
    eventually("the end of every run", async || app.count(unfinished) == 0).await;
    // Only a slot that is not finished is run.
    assert_eq!(app.count("SELECT sum(attempt) AS count FROM sync_slots"), i64::try_from(1 + runs).unwrap());
    assert_eq!(market.coingecko.requests().len(), 1 + runs, "{status}");
}

#[tokio::test]
async fn a_requested_sync_waits_for_the_one_that_runs() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Silence, fresh("coingecko_markets_gbp")]);
    // The run lasts longer than the requests of the test.
    let app = market.app("coingecko", &[("UPSTREAM_TIMEOUT", "10s")]);
    let admin = app.admin().await;
    until_requested(&market, 1).await;
    admin.post_empty(SYNC).await.assert(202);
    let status = admin.get(SYNC).await.assert(200).json();
    let states: Vec<_> = status["slots"].as_array().unwrap().iter().map(|slot| &slot["state"]).collect();
    assert_eq!(states, ["waiting", "running"]);
    assert_eq!(market.coingecko.requests().len(), 1);
    until_failed(&app, "coingecko", 1).await;
    app.clock.advance(Duration::from_secs(31));
    from(&admin, "coingecko").await;
}

#[tokio::test]
async fn demo_data_cannot_be_synced() {
    let market = Market::start().await;
    let app = market.app("demo", &[]);
    let admin = app.admin().await;
    admin.post_empty(SYNC).await.assert_problem(409, "sync-off");
    let status = admin.get(SYNC).await.assert(200).json();
    assert_eq!((&status["next_run_at"], &status["providers"]), (&Value::Null, &Value::Array(Vec::new())));
}

#[tokio::test]
async fn requests_for_syncs_are_limited() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[("RATE_LIMITS", "on")]);
    let admin = app.admin().await;
    for _ in 0..3 {
        admin.post_empty(SYNC).await.assert(202);
    }
    admin.post_empty(SYNC).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn a_slot_whose_process_was_killed_is_run_by_another_after_its_lease() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Silence]);
    // Its own sync is off, and its clock is that of the victim.
    let app = market.app_at(Clock::default(), "demo", &[]);
    let (home, url) = (directory(), app.database().url());
    let settings = [
        ("DATABASE_URL", url.expose()),
        ("SECRET_KEY", SECRET_KEY),
        ("COINS_PROVIDERS", "coingecko"),
        ("COINS_SYNC_INTERVAL", "1d"),
        ("COINGECKO_URL", &market.coingecko.url),
    ];
    let mut victim = Server::start(home.path(), &settings);
    until_requested(&market, 1).await;
    victim.kill();
    market.coingecko.say(vec![fresh("coingecko_markets_gbp")]);
    let heir = app.replica_with(&[("COINS_PROVIDERS", "coingecko")]);
    eventually("a try to claim the slot", async || claims(app.database()) > 0).await;
    assert_eq!(app.count(FIRST_ATTEMPT), 1, "the lease still runs");
    heir.clock.advance(Duration::from_secs(61));
    from(&heir.user().await, "coingecko").await;
    assert_eq!(market.coingecko.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_in_a_slot_gives_it_back_at_once() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Silence, fresh("coingecko_markets_gbp")]);
    let app = market.app("coingecko", &[("UPSTREAM_TIMEOUT", "10s")]);
    let keeper = app.replica_with(&[("COINS_PROVIDERS", "demo")]);
    until_requested(&market, 1).await;
    drop(app);
    let heir = keeper.replica_with(&[("COINS_PROVIDERS", "coingecko")]);
    from(&heir.user().await, "coingecko").await;
}

#[tokio::test]
async fn a_holder_that_was_replaced_publishes_nothing() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Silence]);
    let app = market.app("coingecko,coinpaprika", &[("UPSTREAM_TIMEOUT", "5s")]);
    let mut conn = app.sql();
    until_requested(&market, 1).await;
    // Another replica has claimed the slot meanwhile.
    let update = "UPDATE sync_slots SET attempt = attempt + 1, lease_until = $1";
    let lease = app.clock.now() + TimeDelta::hours(1);
    assert_eq!(sql_query(update).bind::<Timestamptz, _>(lease).execute(&mut conn).unwrap(), 1);
    until_failed(&app, "coingecko", 1).await;
    // It looks for the next slot when it is done with this one.
    eventually("a look for another slot", async || claims(app.database()) >= 2).await;
    assert!(market.coinpaprika.requests().is_empty(), "it stops when it learns of it");
    let body = app.user().await.get("/api/v1/coins").await.assert(200).json();
    assert_eq!(body["source"], "demo");
}

#[tokio::test]
async fn timestamps_from_the_future_do_not_block_a_sync() {
    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    from(&app.user().await, "coingecko").await;
    let change = |coins: &mut Value| coins[0]["current_price"] = 70_300.into();
    market.coingecko.say(vec![changed("coingecko_markets_gbp", change)]);
    // As a server wrote it whose clock was a year ahead.
    for statement in [
        "UPDATE provider_state SET retry_at = now() + interval '1 year'",
        "UPDATE coin_snapshots SET as_of = as_of + interval '1 year' WHERE provider <> 'demo'",
        "UPDATE sync_slots SET running = true, finished_at = NULL, lease_until = now() + interval '1 year'",
    ] {
        sql_query(statement).execute(&mut app.sql()).unwrap();
    }
    let heir = app.replica_with(&[("COINS_PROVIDERS", "coingecko")]);
    until(&heir.user().await, COINS, |body| body["data"][0]["price"] == 70_300.0).await;
}

#[tokio::test]
async fn a_requested_run_is_done_with_the_next_slot_that_brings_data() {
    let market = Market::start().await;
    market.coingecko.say(vec![Reply::Http(503, "", Vec::new())]);
    let app = market.app("coingecko", &[]);
    let admin = app.admin().await;
    until(&admin, SYNC, |status| status["slots"][0]["state"] == "waiting").await;
    let wish = admin.post_empty(SYNC).await.assert(202).json()["slot"].clone();
    let of_wish = |status: &Value| {
        let slots = status["slots"].as_array().unwrap();
        slots.iter().find(|slot| slot["slot"] == wish).unwrap().clone()
    };
    let tried = |status: &Value| {
        of_wish(status)["state"] == "waiting" && of_wish(status)["attempts"].as_i64() >= Some(1)
    };
    until(&admin, SYNC, tried).await;
    market.coingecko.say(vec![fresh("coingecko_markets_gbp")]);
    app.clock.advance(Duration::from_hours(24));
    let admin = app.login(&admin.email).await;
    from(&admin, "coingecko").await;
    let slot = of_wish(&admin.get(SYNC).await.assert(200).json());
    assert_eq!((&slot["state"], &slot["provider"]), (&"done".into(), &"coingecko".into()), "{slot}");
    assert_eq!(slot["requested"], true);
}

#[tokio::test]
async fn each_slot_is_synced_by_one_replica_and_all_serve_it() {
    let market = Market::start().await;
    let one = market.app("coingecko", &[]);
    let (two, three) = (one.replica(), one.replica());
    let user = one.user().await;
    for app in [&one, &two, &three] {
        from(&user.on(&app.base), "coingecko").await;
    }
    eventually("a look of every replica", async || claims(one.database()) >= 3).await;
    assert_eq!(one.count("SELECT sum(attempt) AS count FROM sync_slots"), 1);
    assert_eq!(market.coingecko.requests().len(), 1);
}

#[tokio::test]
async fn a_slot_whose_holder_died_is_taken_over() {
    let market = Market::start().await;
    // Its own sync is off: it keeps the database.
    let keeper = market.app("demo", &[]);
    let syncing = [("COINS_PROVIDERS", "coingecko")];
    let first = keeper.replica_with(&syncing);
    from(&first.user().await, "coingecko").await;
    drop(first);
    // As if the holder had been killed after its claim, with a lease that still runs or is over.
    let mut conn = keeper.sql();
    let mut leave_unfinished = |lease: TimeDelta| {
        let update = sql_query("UPDATE sync_slots SET finished_at = NULL, lease_until = $1");
        update.bind::<Timestamptz, _>(keeper.clock.now() + lease).execute(&mut conn).unwrap();
    };
    leave_unfinished(TimeDelta::hours(1));
    let claims_before = claims(keeper.database());
    let second = keeper.replica_with(&syncing);
    eventually("a try to claim the slot", async || claims(keeper.database()) > claims_before).await;
    assert_eq!(keeper.count(FIRST_ATTEMPT), 1, "the lease still runs");
    drop(second);
    assert_eq!(market.coingecko.requests().len(), 1);
    leave_unfinished(TimeDelta::seconds(-1));
    let _third = keeper.replica_with(&syncing);
    eventually("the take-over", async || market.coingecko.requests().len() > 1).await;
}
