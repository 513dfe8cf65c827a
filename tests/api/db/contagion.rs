//! A locked row may delay only the requests that need it.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::connection::SimpleConnection;
use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::{App, Client, PASSWORD};

const TABS: usize = 20;
const REQUESTS: usize = 15;

/// Clients repeat `ask` while others repeat `other`, most of which must succeed. Not all, because on a busy machine even
/// an undisturbed request may wait for a slot for longer than 500 ms. If locked rows took all slots, few would succeed.
async fn others_are_served<T>(app: &App, ask: impl AsyncFn() -> T, other: impl AsyncFn(&Client) -> u16) {
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(app.user().await);
    }
    let over = AtomicBool::new(false);
    let begun = tokio::sync::Semaphore::new(0);
    let stuck = join_all((0..TABS).map(async |_| {
        while !over.load(Ordering::Relaxed) {
            begun.add_permits(1);
            ask().await;
        }
    }));
    let served = async {
        // Until each of them has begun a second time: the first one has had its answer.
        let _ = begun.acquire_many(2 * u32::try_from(TABS).unwrap()).await.unwrap();
        let answers = join_all(others.iter().map(async |client| {
            let mut statuses = Vec::new();
            for _ in 0..REQUESTS {
                statuses.push(other(client).await);
            }
            statuses
        }))
        .await;
        over.store(true, Ordering::Relaxed);
        answers
    };
    let (_, answers) = join(stuck, served).await;
    let failed = answers.iter().flatten().filter(|status| **status >= 300).count();
    assert!(failed * 2 <= others.len() * REQUESTS, "{answers:?}");
}

async fn read_and_log_in(app: &App, client: &Client) -> u16 {
    let body = json!({"email": client.email, "password": PASSWORD});
    let login = app.anyone().post("/api/v1/auth/login", &body).await.status.as_u16();
    login.max(client.get("/api/v1/user").await.status.as_u16())
}

#[tokio::test]
async fn log_ins_to_a_locked_account_do_not_delay_others() {
    let app = App::start();
    let user = app.user().await;
    let mut holder = app.sql();
    let lock = format!("BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE", user.id);
    holder.batch_execute(&lock).unwrap();
    let body = json!({"email": user.email, "password": PASSWORD});
    let login = async || app.anyone().post("/api/v1/auth/login", &body).await.assert(503);
    others_are_served(&app, login, async |other| read_and_log_in(&app, other).await).await;
    holder.batch_execute("ROLLBACK").unwrap();
    app.login(&user.email).await;
}

#[tokio::test]
async fn requests_of_a_locked_account_do_not_delay_others() {
    let app = App::start();
    let user = app.user().await;
    let mut holder = app.sql();
    let lock = format!("BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE", user.id);
    holder.batch_execute(&lock).unwrap();
    let rename = async || {
        let body = json!({"name": "Ada"});
        user.patch("/api/v1/user", &body).await.assert(503)
    };
    others_are_served(&app, rename, async |other| read_and_log_in(&app, other).await).await;
}

#[tokio::test]
async fn registrations_that_wait_for_the_same_address_do_not_delay_others() {
    let app = App::start();
    let mut holder = app.sql();
    holder
        .batch_execute(
            "BEGIN; INSERT INTO users SELECT (jsonb_populate_record(NULL::users, jsonb_build_object(\
             'id', gen_random_uuid(), 'email', 'ada@example.com', 'email_canonical', 'ada@example.com', \
             'password_hash', '-', 'role', 'user', 'created_at', now(), 'updated_at', now(), 'version', 1, 'login_count', 0))).*",
        )
        .unwrap();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let register = async || app.anyone().post("/api/v1/auth/register", &body).await.assert(503);
    others_are_served(&app, register, async |other| read_and_log_in(&app, other).await).await;
    holder.batch_execute("ROLLBACK").unwrap();
    // One that was answered 503 because it waited for too long may have been stored after all.
    let after = app.anyone().post("/api/v1/auth/register", &body).await;
    assert!([201, 409].contains(&after.status.as_u16()), "{after:?}");
}
