//! API keys that are made or read while somebody takes away what they may do.

use std::cell::Cell;

use diesel::connection::SimpleConnection;
use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};

use super::api_keys::{KEYS, create};
use crate::support::{App, Client, Response, eventually};

const COINS: &str = "/api/v1/coins";

/// A read of a key named `held` has taken its snapshot when it comes to this, and goes on when nobody holds the lock 2.
const HOLD_READS: &str = "
    CREATE FUNCTION held() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        WHILE EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
                      WHERE locktype = 'advisory' AND objid = 2 AND datname = current_database()) LOOP
            PERFORM pg_sleep(0.005);
        END LOOP;
        RETURN true;
    END $$;
    ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everything ON api_keys USING (true);
    CREATE POLICY held ON api_keys AS RESTRICTIVE FOR SELECT
        USING (name <> 'held' OR revoked_at IS NOT NULL OR current_query() NOT LIKE 'SELECT%' OR held())";
/// Reads that wait there.
const WAITING: &str = "
    SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND objid = 1 AND datname = current_database()";

#[tokio::test]
async fn a_key_that_a_server_reads_while_another_one_revokes_it_is_refused_there_on_the_next_request() {
    let one = App::start();
    let two = one.replica();
    let user = one.user().await;
    let mut gate = one.sql();
    gate.batch_execute(HOLD_READS).unwrap();
    // On a slow machine the statement that waits reaches its time limit: then once more.
    loop {
        let held =
            user.post(KEYS, &json!({"name": "held", "scopes": ["coins:read"]})).await.assert(201).json();
        let other = create(&user, &["coins:read"]).await;
        let client = |key: &Value| user.bearing(key["key"].as_str().unwrap()).on(&two.base);
        let (key, marker) = (client(&held), client(&other));
        marker.get(COINS).await.assert(200);
        gate.batch_execute("SELECT pg_advisory_lock(2)").unwrap();
        let revoke = async {
            eventually("a read", async || one.count(WAITING) == 1).await;
            for made in [&held, &other] {
                user.delete(&format!("{KEYS}/{}", made["id"].as_str().unwrap())).await.assert(204);
            }
            // Notifications arrive in their order.
            eventually("the notification", async || marker.get(COINS).await.status == 401).await;
            gate.batch_execute("SELECT pg_advisory_unlock(2)").unwrap();
        };
        let (first, ()) = join(key.get(COINS), revoke).await;
        key.get(COINS).await.assert_problem(401, "invalid-api-key");
        if first.status == 200 {
            break;
        }
        first.assert_problem(503, "unavailable");
    }
}

/// Demotes an admin and has the admin create a key at the same time: one after the other, they wait for the row of the
/// user. Returns both answers.
async fn demote_while_creating(app: &App, admins: [&Client; 2], demote_first: bool) -> (Response, Response) {
    let [root, admin] = admins;
    let mut holder = app.sql();
    holder.batch_execute(&format!("BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE", admin.id)).unwrap();
    // A wait for a lock has a time limit, which a slow machine may reach.
    let is_answered = Cell::new(false);
    let until_waiting = async |count| {
        let is_waiting = async || is_answered.get() || app.database().waiting_for_locks() >= count;
        eventually("a request that waits", is_waiting).await;
    };
    let demote = async {
        until_waiting(i64::from(!demote_first)).await;
        let answer = root.patch(&format!("/api/v1/users/{}", admin.id), &json!({"role": "user"})).await;
        is_answered.set(true);
        answer
    };
    let create = async {
        until_waiting(i64::from(demote_first)).await;
        let body = json!({"name": "gateway", "scopes": ["tokens:introspect", "coins:read"]});
        let answer = admin.post(KEYS, &body).await;
        is_answered.set(true);
        answer
    };
    let release = async {
        until_waiting(2).await;
        holder.batch_execute("ROLLBACK").unwrap();
    };
    let (demoted, (created, ())) = join(demote, join(create, release)).await;
    (demoted, created)
}

#[tokio::test]
async fn no_key_for_admins_is_left_by_a_demotion_while_the_admin_creates_one() {
    let app = App::start();
    let root = app.admin().await;
    for demote_first in [true, false] {
        let (admin, created) = loop {
            let admin = app.admin().await;
            let (demoted, created) = demote_while_creating(&app, [&root, &admin], demote_first).await;
            if demoted.status == 200 && created.status != 503 {
                break (admin, created);
            }
            assert!(demoted.status == 200 || demoted.status == 503, "{}", demoted.text());
        };
        let kept = format!(
            "SELECT count(*) FROM api_keys WHERE user_id = '{}' AND revoked_at IS NULL \
             AND scopes LIKE '%introspect%'",
            admin.id
        );
        assert_eq!(app.count(&kept), 0, "demoted first: {demote_first}");
        if demote_first {
            created.assert_problem(403, "forbidden");
            continue;
        }
        let made = created.assert(201).json();
        let key = admin.bearing(made["key"].as_str().unwrap());
        key.get(COINS).await.assert_problem(401, "invalid-api-key");
        // Nor does it come back with the role.
        app.update_user(&admin, "role = 'admin'");
        let body = format!("token={}", root.token());
        let asked = key.send(Method::POST, "/oauth/introspect", |request| {
            request.header("content-type", "application/x-www-form-urlencoded").body(body)
        });
        asked.await.assert(401);
    }
}
