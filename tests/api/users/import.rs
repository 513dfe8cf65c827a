//! `POST /api/v1/users/import` and `mintage users import`.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Client, Response};

const IMPORT: &str = "/api/v1/users/import";
const LOGIN: &str = "/api/v1/auth/login";
const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

async fn send(client: &Client, query: &str, kind: &str, file: impl Into<reqwest::Body>) -> Response {
    let build = |request: reqwest::RequestBuilder| request.header("content-type", kind).body(file.into());
    client.send(Method::POST, &format!("{IMPORT}{query}"), build).await
}

/// Hashes that the real libraries made.
fn foreign() -> (String, Vec<Value>) {
    let text = include_str!("../../fixtures/foreign_hashes.json");
    let fixture: Value = serde_json::from_str(text).unwrap();
    (fixture["password"].as_str().unwrap().to_owned(), fixture["hashes"].as_array().unwrap().clone())
}

fn stored_hash(app: &App, email: &str) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        password_hash: String,
    }
    let query = sql_query("SELECT password_hash FROM users WHERE email = $1").bind::<Text, _>(email);
    query.get_result::<Row>(&mut app.sql()).unwrap().password_hash
}

#[tokio::test]
async fn a_file_in_csv_becomes_accounts_with_all_their_values() {
    let app = App::start();
    let admin = app.admin().await;
    let file = "\u{feff}email,username,name,role,email_confirmed,created_at,disabled\r\n\
                Ada@Example.com,Ada,\"Lovelace, Ada\",,true,2019-05-06T07:08:09Z,\r\n\
                bob@example.com,,,user,false,,true\r\n";
    let report = send(&admin, "", CSV, file).await.assert(201).json();
    assert_eq!(report, json!({"dry_run": false, "lines": 2, "created": 2, "skipped": 0, "invited": 0}));
    let page = admin.get("/api/v1/users?status=disabled").await.assert(200).json();
    assert_eq!(page["data"][0]["email"], "bob@example.com");
    let page = admin.get("/api/v1/users?email=ada@example.com").await.assert(200).json();
    let ada = &page["data"][0];
    assert_eq!((&ada["email"], &ada["username"]), (&json!("Ada@Example.com"), &json!("Ada")));
    assert_eq!((&ada["name"], &ada["status"]), (&json!("Lovelace, Ada"), &json!("invited")));
    assert_eq!((&ada["email_confirmed"], &ada["created_at"]), (&json!(true), &json!("2019-05-06T07:08:09Z")));
    let old = admin.get("/api/v1/users?created_before=2020-01-01T00:00:00Z").await.assert(200).json();
    assert_eq!(old["data"].as_array().unwrap().len(), 1, "the id has the time of the registration");
    let events = admin.get("/api/v1/admin/audit?kind=users-imported").await.assert(200).json();
    assert_eq!(
        (&events["data"][0]["details"]["created"], &events["data"][0]["actor_id"]),
        (&json!(2), &json!(admin.id))
    );
    let events = admin.get("/api/v1/admin/audit?kind=registered&limit=2").await.assert(200).json();
    assert_eq!(
        (&events["data"][0]["details"]["by"], &events["data"][1]["details"]["by"]),
        (&json!("import"), &json!("import"))
    );
    assert!(app.mails_to("ada@example.com").await.is_empty(), "nobody is invited without being asked");
}

#[tokio::test]
async fn hashes_of_the_real_libraries_let_people_in_and_are_replaced_at_the_first_log_in() {
    let app = App::start();
    let admin = app.admin().await;
    let (password, hashes) = foreign();
    let line = |(n, one): (usize, &Value)| {
        json!({"email": format!("u{n}@example.com"), "password_hash": one["hash"]}).to_string() + "\n"
    };
    let file: String = hashes.iter().enumerate().map(line).collect();
    send(&admin, "", NDJSON, file).await.assert(201);
    for (n, one) in hashes.iter().enumerate() {
        let (email, made_by) = (format!("u{n}@example.com"), &one["made_by"]);
        let stored = stored_hash(&app, &email);
        let log_in = async |password: &str| {
            app.anyone().post(LOGIN, &json!({"email": email, "password": password})).await.status.as_u16()
        };
        assert_eq!(log_in("another password").await, 401, "{made_by}");
        assert_eq!(stored_hash(&app, &email), stored, "a wrong password changes nothing");
        assert_eq!(log_in(&password).await, 200, "{made_by}");
        let ours = stored_hash(&app, &email);
        assert!(ours.starts_with("$2b$04$") && ours != stored, "{made_by}: {ours}");
        assert_eq!(log_in("another password").await, 401, "{made_by}");
        assert_eq!(log_in(&password).await, 200, "{made_by}");
    }
}

#[tokio::test]
async fn log_ins_at_once_with_a_foreign_hash_all_succeed_or_say_try_again() {
    let app = App::start();
    let admin = app.admin().await;
    let (password, hashes) = foreign();
    let file = json!({"email": "ada@example.com", "password_hash": hashes[0]["hash"]}).to_string();
    send(&admin, "", NDJSON, file).await.assert(201);
    let body = json!({"email": "ada@example.com", "password": password});
    let (anyone, body) = (app.anyone(), &body);
    let tries = (0..8).map(|_| anyone.post_until_served(LOGIN, body));
    for answer in futures_util::future::join_all(tries).await {
        answer.assert(200);
    }
    assert!(stored_hash(&app, "ada@example.com").starts_with("$2b$04$"));
}

#[tokio::test]
async fn hashes_that_are_damaged_or_cost_too_much_are_refused() {
    let app = App::start();
    let admin = app.admin().await;
    let bcrypt = "vrNLQcx78tIH53wa1GzT6OkCsKqycBJTCplVTV5993z5tP9prXr2e";
    let digest = "eHLnPNf4nN4KJT23oLdIc5n87FlIx/rLLn4eoT6gXUQ";
    let cases = [
        (format!("$2b$15${bcrypt}"), "hash-cost"),
        (format!("$2b$31${bcrypt}"), "hash-cost"),
        (format!("$2x$04${bcrypt}"), "hash-format"),
        (format!("$2b$4${bcrypt}"), "hash-format"),
        ("$2b$04$short".to_owned(), "hash-format"),
        (format!("$argon2id$v=19$m=102401,t=1,p=1$NVQ+DXX/8N8${digest}"), "hash-cost"),
        (format!("$argon2id$v=19$m=4294967295,t=1,p=1$NVQ+DXX/8N8${digest}"), "hash-cost"),
        (format!("$argon2id$v=19$m=65536,t=11,p=1$NVQ+DXX/8N8${digest}"), "hash-cost"),
        (format!("$argon2id$v=19$m=102400,t=6,p=1$NVQ+DXX/8N8${digest}"), "hash-cost"),
        (format!("$argon2i$v=19$m=64,t=1,p=1$NVQ+DXX/8N8${digest}"), "hash-format"),
        (format!("$argon2id$v=16$m=64,t=1,p=1$NVQ+DXX/8N8${digest}"), "hash-format"),
        (format!("$argon2id$v=19$m=0,t=0,p=0$NVQ+DXX/8N8${digest}"), "hash-format"),
        ("$argon2id$v=19$m=64,t=1,p=1$NVQ+DXX/8N8$QQ".to_owned(), "hash-format"),
        (format!("pbkdf2_sha256$2000001$salt${digest}"), "hash-cost"),
        (format!("pbkdf2_sha256$0$salt${digest}"), "hash-format"),
        (format!("pbkdf2_sha256$+1$salt${digest}"), "hash-format"),
        (format!("pbkdf2_sha1$1000$salt${digest}"), "hash-format"),
        (format!("$pbkdf2-sha256$i=9999999$salt${digest}"), "hash-cost"),
        ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), "hash-format"),
        ("foreign:!".to_owned(), "hash-format"),
        ("$".repeat(600), "hash-format"),
    ];
    let file: String = (cases.iter().enumerate())
        .map(|(n, (hash, _))| {
            json!({"email": format!("u{n}@example.com"), "password_hash": hash}).to_string() + "\n"
        })
        .collect();
    let problem = send(&admin, "", NDJSON, file).await.assert_problem(422, "validation-failed").json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), cases.len());
    assert_eq!(problem["detail"], format!("nothing was imported; mistakes: {}", cases.len()));
    for (n, (hash, code)) in cases.iter().enumerate() {
        assert_eq!(errors[n]["pointer"], format!("/{}/password_hash", n + 1), "{hash}");
        assert_eq!(errors[n]["code"], *code, "{hash}");
    }
    assert!(!problem.to_string().contains(digest), "a hash is not repeated");
}

#[tokio::test]
async fn all_or_nothing_is_imported_and_every_mistake_has_its_line() {
    let app = App::start();
    let admin = app.admin().await;
    app.register("taken@example.com").await;
    let file = "email,username,name,role,created_at\n\
                good@example.com,,,,\n\
                TAKEN@example.com,,,,\n\
                nonsense,,,,\n\
                twin@example.com,twin,,,\n\
                Twin@Example.com,TWIN,,,\n\
                a@example.com,x,,,\n\
                b@example.com,,\u{202e}evil,,\n\
                c@example.com,,,admin,\n\
                d@example.com,,,,2999-01-01T00:00:00Z\n\
                e@example.com,,nul\0,,\n\
                f@example.com,,,root,yesterday\n";
    let problem = send(&admin, "", CSV, file).await.assert_problem(422, "validation-failed").json();
    let found: Vec<String> = (problem["errors"].as_array().unwrap().iter())
        .map(|error| format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    for expected in [
        "/3/email taken",
        "/4/email email",
        "/6/email duplicate",
        "/6/username duplicate",
        "/7/username username",
        "/9/role not-allowed",
        "/10/created_at range",
        "/11/name control-character",
        "/12/role type",
        "/12/created_at type",
    ] {
        assert!(found.iter().any(|one| one == expected), "{expected} in {found:?}");
    }
    assert!(found.iter().any(|one| one.starts_with("/8/name ")), "{found:?}");
    assert_eq!(app.count("SELECT count(*) FROM users"), 2);
    send(&admin, "?dry_run=true", CSV, file).await.assert_problem(422, "validation-failed");
}

#[tokio::test]
async fn a_dry_run_answers_like_the_import_and_keeps_nothing() {
    let app = App::start();
    let admin = app.admin().await;
    let file = "email\nada@example.com\nbob@example.com\n";
    let report = send(&admin, "?dry_run=true&invite=true", CSV, file).await.assert(200).json();
    assert_eq!(report, json!({"dry_run": true, "lines": 2, "created": 2, "skipped": 0, "invited": 2}));
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);
    assert_eq!(app.count("SELECT count(*) FROM security_events WHERE kind = 'users-imported'"), 0);
    assert!(app.mails_to("ada@example.com").await.is_empty());
}

#[tokio::test]
async fn a_file_can_be_sent_again() {
    let app = App::start();
    let admin = app.admin().await;
    let file = "email,username\nada@example.com,ada\nbob@example.com,bob\n";
    let once = async || {
        let build = |request: reqwest::RequestBuilder| {
            request.header("content-type", CSV).header("idempotency-key", "k1").body(file)
        };
        admin.send(Method::POST, IMPORT, build).await
    };
    let (first, second) = (once().await.assert(201), once().await.assert(201));
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), "true"));
    let other = |request: reqwest::RequestBuilder| {
        request.header("content-type", CSV).header("idempotency-key", "k1").body("email\nx@example.com\n")
    };
    admin.send(Method::POST, IMPORT, other).await.assert_problem(422, "idempotency-key-reused");

    send(&admin, "", CSV, file).await.assert_invalid("/2/email", "taken");
    let more = format!("{file}dan@example.com,\n");
    let report = send(&admin, "?on_conflict=skip", CSV, more).await.assert(201).json();
    assert_eq!((&report["created"], &report["skipped"]), (&json!(1), &json!(2)));
    let username = "email,username\ncarol@example.com,BOB\n";
    let report = send(&admin, "?on_conflict=skip", CSV, username).await.assert(201).json();
    assert_eq!((&report["created"], &report["skipped"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn people_without_a_password_are_invited_if_asked_or_choose_one_by_mail() {
    let app = App::start();
    let admin = app.admin().await;
    let report = send(&admin, "?invite=true", CSV, "email\nada@example.com\n").await.assert(201).json();
    assert_eq!(report["invited"], 1);
    let mail = app.mail_to("ada@example.com").await;
    let accept = json!({"token": mail.token(), "new_password": "a horse of another colour"});
    app.anyone().post("/api/v1/auth/invitation/accept", &accept).await.assert(204);

    send(&admin, "", CSV, "email\nbob@example.com\n").await.assert(201);
    let forgot = json!({"email": "bob@example.com"});
    app.anyone().post("/api/v1/auth/password/forgot", &forgot).await.assert(202);
    let reset = json!({"token": app.mail_to("bob@example.com").await.token(), "new_password": "a horse of another colour"});
    app.anyone().post("/api/v1/auth/password/reset", &reset).await.assert(204);
}

#[tokio::test]
async fn admins_are_imported_only_if_that_is_allowed() {
    let app = App::start();
    let admin = app.admin().await;
    let file = "email,role\nroot@example.com,admin\n";
    send(&admin, "", CSV, file).await.assert_invalid("/2/role", "not-allowed");
    send(&admin, "?allow_admins=true", CSV, file).await.assert(201);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE role = 'admin'"), 2);
}

#[tokio::test]
async fn bodies_that_are_no_file_are_refused() {
    let app = App::start();
    let admin = app.admin().await;
    for kind in ["application/json", "text/plain", "nonsense"] {
        send(&admin, "", kind, "email\n").await.assert_problem(415, "unsupported-media-type");
    }
    send(&admin, "", CSV, vec![b'x'; 16 * 1024 * 1024 + 1]).await.assert_problem(413, "payload-too-large");
    send(&admin, "?dry_run=perhaps", CSV, "email\n").await.assert_problem(400, "malformed-query");
    for (heading, pointer) in [("mail\n", "/1"), ("email,email\n", "/1/email"), ("name\n", "/1/email")] {
        let problem = send(&admin, "", CSV, heading).await.assert_problem(422, "validation-failed");
        assert_eq!(problem.json()["errors"][0]["pointer"], pointer, "{heading}");
    }
    let report = send(&admin, "", NDJSON, "").await.assert(201).json();
    assert_eq!(report["lines"], 0);
    let user = app.user().await;
    send(&user, "", CSV, "email\nx@example.com\n").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn fifty_thousand_accounts_are_imported_while_others_are_served_and_more_are_refused() {
    let app = App::start();
    let admin = app.admin().await;
    let file = |count: usize| {
        let line = |n: usize| format!("u{n}@example.com,user{n},Name {n}\r\n");
        "email,username,name\r\n".to_owned() + &(0..count).map(line).collect::<String>()
    };
    let problem = send(&admin, "", CSV, file(50_001)).await.assert_problem(422, "validation-failed").json();
    assert_eq!(problem["errors"][0]["pointer"], "/50002");
    assert_eq!(app.count("SELECT count(*) FROM users"), 1, "nothing remains of it");

    let begun = std::time::Instant::now();
    let (whole, me) = (file(50_000), admin.clone());
    let importing = tokio::spawn(async move { send(&me, "", CSV, whole).await });
    let mut served = 0;
    while !importing.is_finished() {
        admin.get("/api/v1/user").await.assert(200);
        served += 1;
    }
    let report = importing.await.unwrap().assert(201).json();
    assert_eq!(report["created"], 50_000);
    assert!(served > 0);
    println!("50,000 accounts in {:?}, {served} requests meanwhile", begun.elapsed());
    let problem = send(&admin, "", CSV, file(300)).await.assert_problem(422, "validation-failed").json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100, "the first hundred are listed");
    assert!(
        problem["detail"].as_str().unwrap().contains("mistakes: 600, the first 100 are listed"),
        "{}",
        problem["detail"]
    );
}
