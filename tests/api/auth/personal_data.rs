//! Personal data: the export of all of it, and what remains of a purged account.

use std::time::Duration;

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::support::{App, Client, PASSWORD, eventually, speak};

const EXPORT: &str = "/api/v1/user/export";

/// Tables with data of a person, and the member of the export that shows it.
const EXPORTED: [(&str, &str); 14] = [
    ("users", "account"),
    ("sessions", "sessions"),
    ("refresh_tokens", "sessions"),
    ("login_networks", "login_networks"),
    ("login_devices", "login_devices"),
    ("api_keys", "api_keys"),
    ("api_key_usage", "api_keys"),
    ("watchlist", "watchlist"),
    ("alerts", "alerts"),
    ("portfolio_transactions", "portfolio"),
    ("challenges", "mailed_links"),
    ("jobs", "pending_mails"),
    ("security_events", "events"),
    ("coins", "watchlist"),
];

/// Tables that are not exported, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("registrations", "not of an account: anyone may register any address"),
    ("blocklist", "ids of ended sessions, for minutes"),
    ("budgets", "keyed hashes: not even the server can tell whose they are"),
    ("rate_limits", "keyed hashes, as budgets"),
    ("idempotency_keys", "hashes of keys, and encrypted responses that the person has received"),
    ("audit_chains", "no personal data"),
    ("coin_backfills", "no personal data"),
    ("coin_catalogue", "no personal data"),
    ("coin_history", "no personal data"),
    ("coin_quotes", "no personal data"),
    ("coin_refs", "no personal data"),
    ("coin_rollups", "no personal data"),
    ("coin_snapshots", "no personal data"),
    ("coin_social", "no personal data"),
    ("global_figures", "no personal data"),
    ("job_schedules", "no personal data"),
    ("provider_state", "no personal data"),
    ("signing_keys", "no personal data"),
    ("simulation", "no personal data"),
    ("snapshot_rates", "no personal data"),
    ("social_cursors", "no personal data"),
    ("social_hours", "no personal data"),
    ("social_posts", "hashes of posts elsewhere, unrelated to accounts"),
    ("social_streams", "no personal data"),
    ("social_tries", "no personal data"),
    ("sync_slots", "no personal data"),
];

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A user with a row in every table that can have one.
async fn user_with_everything(app: &App) -> Client {
    let user = app.confirmed_user().await;
    let names = json!({"name": "Ada Lovelace", "username": "ada"});
    user.patch("/api/v1/user", &names).await.assert(200);
    let key = json!({"name": "ticker", "scopes": ["coins:read"]});
    user.post("/api/v1/user/api-keys", &key).await.assert(201);
    let alert = json!({"coin": "bitcoin", "metric": "price", "direction": "above", "threshold": 75000});
    user.post("/api/v1/user/alerts", &alert).await.assert(201);
    let purchase =
        json!({"coin": "bitcoin", "kind": "buy", "amount": "1", "total": "1", "day": "2026-01-01"});
    user.post("/api/v1/user/portfolio/transactions", &purchase).await.assert(201);
    let forgot = json!({"email": user.email});
    app.anyone().post("/api/v1/auth/password/forgot", &forgot).await.assert(202);
    app.idle().await;
    let statements = format!(
        "INSERT INTO watchlist (user_id, coin_id, added_at) SELECT '{id}', id, now() FROM coins LIMIT 1; \
         INSERT INTO api_key_usage (key_id, day, requests) SELECT id, current_date, 7 FROM api_keys; \
         INSERT INTO jobs (id, kind, payload, max_attempts, due_at, created_at, state) \
             VALUES (gen_random_uuid(), 'mail-notice', '{{\"email\": \"{email}\"}}', 1, now(), now(), 'dead')",
        id = user.id,
        email = user.email,
    );
    diesel::connection::SimpleConnection::batch_execute(&mut app.sql(), &statements).unwrap();
    user
}

#[tokio::test]
async fn the_export_has_every_table_with_personal_data() {
    let app = App::start();
    let user = user_with_everything(&app).await;
    let answer = user.get(EXPORT).await.assert(200);
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"export.json\"");
    let export = answer.json();
    let tables: Vec<Name> =
        sql_query("SELECT relname::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_\\_diesel%'")
            .load(&mut app.sql())
            .unwrap();
    assert!(tables.len() > 30);
    for Name { name } in &tables {
        let exported = EXPORTED.iter().find(|(table, _)| table == name);
        let left_out = LEFT_OUT.iter().find(|(table, _)| table == name);
        assert!(exported.is_some() != left_out.is_some(), "{name}: export it, or say why not");
        if let Some((_, member)) = exported {
            let shown = &export[member];
            assert!(shown.is_object() || !shown.as_array().unwrap().is_empty(), "{name}: {member} is empty");
        }
    }
    for (table, _) in EXPORTED.iter().chain(LEFT_OUT) {
        assert!(tables.iter().any(|one| one.name == *table), "there is no table {table}");
    }
    assert_eq!(export["account"]["name"], "Ada Lovelace");
    assert_eq!(export["api_keys"][0]["usage"][0]["requests"], 7);
    assert_eq!(export["sessions"][0]["address"], "127.0.0.1");
    assert_eq!(export["events"][0]["kind"], "data-exported", "the export is recorded");
}

#[tokio::test]
async fn the_export_has_no_secret_and_nothing_of_others() {
    let app = App::start();
    let user = user_with_everything(&app).await;
    let other = app.user().await;
    let body = json!({"name": "another", "scopes": ["coins:read"]});
    let key = user.post("/api/v1/user/api-keys", &body).await.assert(201).json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let text = user.get(EXPORT).await.assert(200).text();
    for secret in ["password_hash", "$2b$", "token_hash", "code_hash", "secret_hash", &key, PASSWORD] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains(&other.id) && !text.contains(&other.email) && !text.contains(user.token()));
}

#[tokio::test]
async fn the_export_needs_a_recent_log_in_and_has_a_limit() {
    let app = App::with(&[("RATE_LIMITS", "on")]);
    let mut user = app.user().await;
    app.clock.advance(Duration::from_mins(16));
    user.refresh().await.assert(200);
    user.get(EXPORT).await.assert_problem(403, "recent-login-required");
    let user = app.login(&user.email).await;
    for _ in 0..3 {
        user.get(EXPORT).await.assert(200);
    }
    user.get(EXPORT).await.assert_problem(429, "too-many-requests");
}

#[tokio::test]
async fn an_export_streams_all_events_of_a_long_trail() {
    let app = App::start();
    let user = app.user().await;
    let insert = format!(
        "INSERT INTO security_events (id, at, kind, actor, user_id, salt) \
         SELECT gen_random_uuid(), now(), 'logged-in', 'anonymous', '{}', '\\x00' FROM generate_series(1, 1700)",
        user.id
    );
    sql_query(insert).execute(&mut app.sql()).unwrap();
    let export: Value = user.get(EXPORT).await.assert(200).json();
    assert!(export["events"].as_array().unwrap().len() >= 1702);
}

/// A server that reads ahead of the client would have to keep what it has read.
#[tokio::test]
async fn an_export_is_read_from_the_database_only_as_fast_as_the_client_takes_it() {
    let app = App::start();
    let user = app.user().await;
    // 40 pages of about 1 MB.
    let insert = format!(
        "INSERT INTO security_events (id, at, kind, actor, user_id, salt, details) \
         SELECT gen_random_uuid(), now(), 'logged-in', 'anonymous', '{}', '\\x00', \
             jsonb_build_object('by', repeat('x', 2000)) FROM generate_series(1, 20000)",
        user.id
    );
    sql_query(insert).execute(&mut app.sql()).unwrap();
    let pages = || app.database().statements_with("ORDER BY \"security_events\".\"id\" DESC");
    let socket = TcpSocket::new_v4().unwrap();
    // The system keeps some MB on the way in any case.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream =
        socket.connect(app.base.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    let token = user.token();
    let head = format!(
        "GET {EXPORT} HTTP/1.1\r\nHost: mintage.test\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = vec![0; 15];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"HTTP/1.1 200 OK");
    // In the time in which another client takes all, a server that reads ahead would have read much.
    let is_whole = |text: &str| {
        let events = text.matches("\"kind\":\"logged-in\"").count();
        assert!(text.ends_with("]}\r\n0\r\n\r\n") && events >= 20_000, "{events} events");
    };
    is_whole(&speak(&app.base, head.as_bytes()).await);
    let both = pages();
    stream.read_to_end(&mut text).await.unwrap();
    is_whole(&String::from_utf8(text).unwrap());
    let one = pages() / 2;
    assert!(one > 40 && both - one < 20, "{both} pages, {one} of them for the other client");
}

/// A row of any table, as JSON text.
fn rows(app: &App, table: &str) -> Vec<String> {
    // The skeleton of the audit trail keeps the ids; the chain would break without them.
    let columns = if table == "security_events" { "- 'user_id' - 'actor_id'" } else { "" };
    let query = format!("SELECT (to_jsonb(t) {columns})::text AS name FROM {table} t");
    sql_query(query).load::<Name>(&mut app.sql()).unwrap().into_iter().map(|row| row.name).collect()
}

#[tokio::test]
async fn nothing_in_any_table_names_a_person_whose_account_was_purged() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "0s")]);
    let user = user_with_everything(&app).await;
    let traces = [user.id.clone(), user.email.clone(), "Lovelace".to_owned(), "127.0.0.1".to_owned()];
    let found = |trace: &str| {
        let tables = EXPORTED.iter().chain(LEFT_OUT).map(|(table, _)| *table);
        tables.filter(|table| rows(&app, table).iter().any(|row| row.contains(trace))).collect::<Vec<_>>()
    };
    for trace in &traces {
        assert!(!found(trace).is_empty(), "{trace} is stored before");
    }
    let body = json!({"password": PASSWORD});
    let delete = |request: reqwest::RequestBuilder| request.json(&body);
    user.send(reqwest::Method::DELETE, "/api/v1/user", delete).await.assert(204);
    app.clock.advance(Duration::from_hours(2));
    let purged = "SELECT count(*) FROM security_events WHERE kind = 'user-purged' AND erased_at IS NOT NULL";
    eventually("the account is purged and its events are erased", async || app.count(purged) == 1).await;
    app.idle().await;
    eventually("the blocklist is empty", async || app.count("SELECT count(*) FROM blocklist") == 0).await;
    for trace in &traces {
        assert_eq!(found(trace), Vec::<&str>::new(), "{trace}");
    }
}

/// Dead jobs are kept for weeks, and say who did what the mail is about.
#[tokio::test]
async fn no_mail_that_could_not_be_sent_names_a_person_whose_account_was_purged() {
    let app = App::with(&[("ACCOUNT_DELETION_GRACE", "1h")]);
    let user = app.confirmed_user().await;
    let change = json!({"new_email": "ada@example.com", "password": PASSWORD});
    user.post("/api/v1/auth/email/change", &change).await.assert(202);
    let token = app.mail_to("ada@example.com").await.token();
    app.idle().await;
    let off = app.replica_with(&[("MAIL_TRANSPORT", "off")]);
    drop(app);
    let confirm = json!({"token": token});
    off.anyone().post("/api/v1/auth/email/change/confirm", &confirm).await.assert(200);
    // Without an account there is nothing to undo, and no mail.
    off.idle().await;
    let body = json!({"password": PASSWORD});
    let delete = |request: reqwest::RequestBuilder| request.json(&body);
    let user = user.on(&off.base);
    user.send(reqwest::Method::DELETE, "/api/v1/user", delete).await.assert(204);
    off.idle().await;
    let dead = |kind: &str| {
        let of_kind = "state = 'dead' AND payload -> 'origin' ->> 'address' = '127.0.0.1' AND kind";
        off.count(&format!("SELECT count(*) FROM jobs WHERE {of_kind} = '{kind}'"))
    };
    assert_eq!((dead("mail-email-undo"), dead("mail-account-restore")), (1, 1));
    off.clock.advance(Duration::from_hours(2));
    // Purges at its start, not a minute later.
    let _replica = off.replica();
    let purged = "SELECT count(*) FROM security_events WHERE kind = 'user-purged'";
    eventually("the account is purged", async || off.count(purged) == 1).await;
    assert_eq!(off.count("SELECT count(*) FROM jobs WHERE state = 'dead'"), 0);
}

#[test]
fn the_table_of_stored_data_names_every_table() {
    let text = include_str!("../../../docs/data.md");
    let named: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let all: Vec<&str> = EXPORTED.iter().chain(LEFT_OUT).map(|(table, _)| *table).collect();
    for table in &all {
        assert!(
            named.contains(table),
            "docs/data.md does not say what {table} is for and how long it is kept"
        );
    }
    for table in named {
        assert!(all.contains(&table), "docs/data.md names {table}, which does not exist");
    }
}
