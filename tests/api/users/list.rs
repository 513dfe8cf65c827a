//! `/api/v1/users`, for admins.

use diesel::{RunQueryDsl, sql_query};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{App, eventually};

const PATH: &str = "/api/v1/users";

fn emails(page: &Value) -> Vec<String> {
    let users = page["data"].as_array().unwrap().iter();
    users.map(|user| user["email"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_lead_through_all_users_once() {
    let app = App::start();
    let admin = app.admin().await;
    for n in 0..6 {
        app.register(&format!("p{n}@example.com")).await;
    }
    let (mut path, mut seen) = (format!("{PATH}?limit=3"), Vec::new());
    loop {
        let page = admin.get(&path).await.assert(200).json();
        let found = emails(&page);
        assert!(found.len() <= 3);
        seen.extend(found);
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{PATH}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    let mut expected = vec![admin.email.clone()];
    expected.extend((0..6).map(|n| format!("p{n}@example.com")));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let app = App::start();
    let admin = app.admin().await;
    for email in ["ada@example.com", "adam@example.com", "bob@example.com", "a_b@example.com"] {
        app.register(email).await;
    }
    let ada = app.login("ada@example.com").await;
    let names = serde_json::json!({"name": "Zoë Ada", "username": "Countess"});
    ada.patch("/api/v1/user", &names).await.assert(200);

    let list = async |query: &str| emails(&admin.get(&format!("{PATH}?{query}")).await.assert(200).json());
    assert_eq!(list("q=ADA").await, ["ada@example.com", "adam@example.com"]);
    assert_eq!(list("q=zo%C3%AB").await, ["ada@example.com"]);
    assert_eq!(list("q=count").await, ["ada@example.com"]);
    assert_eq!(list("q=a_").await, ["a_b@example.com"], "no wildcard");
    assert_eq!(list("q=%25").await, Vec::<String>::new(), "no wildcard");
    assert_eq!(list("email=ADA@Example.com").await, ["ada@example.com"]);
    assert_eq!(list("role=admin").await, std::slice::from_ref(&admin.email));
    assert_eq!(list("role=user&q=b").await, ["bob@example.com"]);
}

#[tokio::test]
async fn a_user_is_read_by_id() {
    let app = App::start();
    let (admin, user) = (app.admin().await, app.user().await);
    let read = admin.get(&format!("{PATH}/{}", user.id)).await.assert(200);
    assert_eq!(read.json()["email"], user.email);
    assert_eq!(read.header("etag"), "\"1\"");
    admin.get(&format!("{PATH}/{}", Uuid::nil())).await.assert_problem(404, "not-found");
    admin.get(&format!("{PATH}/7")).await.assert_problem(400, "malformed-path");
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let app = App::start();
    let admin = app.admin().await;
    for query in ["limit=0", "limit=101", "q=", "email=nonsense"] {
        let name = query.split('=').next().unwrap();
        let response = admin.get(&format!("{PATH}?{query}")).await.assert_problem(422, "validation-failed");
        assert_eq!(response.json()["errors"][0]["pointer"], format!("/{name}"));
    }
    let huge = format!("cursor={}", "A".repeat(5000));
    for query in [
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "cursor=!",
        "cursor=AAAA",
        &huge,
        "role=root",
        "limit=1&limit=2",
        "unknown=1",
        "q=%ff",
        "q=%00",
    ] {
        admin.get(&format!("{PATH}?{query}")).await.assert_problem(400, "malformed-query");
    }
}

/// Inserts accounts without the API, which would take minutes.
fn insert_users(app: &App, count: u32) {
    let insert = format!(
        "INSERT INTO users (id, email, email_canonical, username, username_canonical, name, password_hash, created_at, \
             updated_at, email_confirmed_at, disabled_at, current_login_at) \
         SELECT gen_random_uuid(), 'u' || n || '@example.com', 'u' || n || '@example.com', 'u' || n, 'u' || n, \
             CASE n WHEN 1 THEN '=1+1' WHEN 2 THEN 'Ada, \"Countess\"' ELSE 'Name ' || n END, 'x', t, t, \
             CASE WHEN n % 1000 <> 0 THEN t END, CASE WHEN n % 1000 = 1 THEN t END, t \
         FROM generate_series(1, {count}) n, LATERAL (SELECT now() - n * interval '1 minute' AS t) times"
    );
    sql_query(insert).execute(&mut app.sql()).unwrap();
    sql_query("ANALYZE users").execute(&mut app.sql()).unwrap();
}

#[tokio::test]
async fn all_users_are_exported_as_csv_and_as_ndjson() {
    let app = App::start();
    let admin = app.admin().await;
    insert_users(&app, 10_000);

    let answer = admin.get("/api/v1/users.csv").await.assert(200);
    assert!(answer.header("content-type").starts_with("text/csv"));
    let text = answer.text();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 10_001);
    let document = serde_json::to_value(mintage::app::document()).unwrap();
    let body = &document["paths"]["/api/v1/users.csv"]["get"]["responses"]["200"]["content"]["text/csv"];
    let example = body["example"].as_str().unwrap();
    let (heading, row) = example.trim_end().split_once("\r\n").unwrap();
    assert_eq!(
        (lines[0], row.matches(',').count()),
        (heading, heading.matches(',').count()),
        "as documented"
    );
    assert!(text.contains(",u1,\"'=1+1\",user,"), "a formula is made text");
    assert!(text.contains(",u2,\"Ada, \"\"Countess\"\"\",user,"), "quotes are doubled");

    let answer = admin.get("/api/v1/users.ndjson").await.assert(200);
    let text = answer.text();
    let users: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(users.len(), 10_001);
    let unique: std::collections::HashSet<&str> =
        users.iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!(unique.len(), users.len(), "each once");
    assert!(!text.contains("password"), "no hash");

    let some = admin.get("/api/v1/users.ndjson?status=disabled").await.assert(200).text();
    assert_eq!(some.lines().count(), 10, "filters apply");
    assert_eq!(app.count("SELECT count(*) FROM security_events WHERE kind = 'users-exported'"), 3);
    for path in
        ["/api/v1/users.csv?limit=5", "/api/v1/users.ndjson?limit=5", "/api/v1/admin/audit.ndjson?limit=5"]
    {
        let refused = admin.get(path).await.assert_problem(400, "malformed-query").json();
        assert_eq!(refused["errors"][0]["pointer"], "/limit", "{path}: all rows are returned");
    }
}

#[tokio::test]
async fn the_field_link_leads_to_the_next_page_with_the_same_filters() {
    let app = App::start();
    let admin = app.admin().await;
    insert_users(&app, 30);
    let (mut path, mut seen) = (format!("{PATH}?limit=12&role=user&q=u"), 0);
    loop {
        let page = admin.get(&path).await.assert(200);
        seen += page.json()["data"].as_array().unwrap().len();
        if page.json()["next_cursor"].is_null() {
            assert!(page.headers.get("link").is_none());
            break;
        }
        let (target, rest) = page.header("link").trim_start_matches('<').split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        target.clone_into(&mut path);
    }
    assert_eq!(seen, 30);
}

/// PostgreSQL counts the rows that it reads, and shows them within ten seconds.
#[tokio::test]
async fn no_filter_reads_the_whole_table_of_100_000_users() {
    const TIMES: usize = 6; // from the sixth time on, a statement may get a plan for all values
    let app = App::start();
    let admin = app.admin().await;
    insert_users(&app, 100_000);
    let sum = |columns: &str| {
        app.count(&format!(
            "SELECT ({columns})::bigint AS count FROM pg_stat_user_tables WHERE relname = 'users'"
        ))
    };
    let scans = || sum("coalesce(seq_scan, 0) + coalesce(idx_scan, 0)");
    let rows = || sum("coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)");
    let queries = [
        "limit=20",
        "email=u77777@example.com",
        "q=u7777",
        "q=name+7777",
        "role=admin",
        "status=disabled",
        "status=unconfirmed",
        "status=deleted",
        "status=invited",
        "created_before=1990-01-01T00:00:00Z",
        "last_login_before=1990-01-01T00:00:00Z",
    ];
    let (scans_before, rows_before) = (scans(), rows());
    for query in queries.repeat(TIMES) {
        admin.get(&format!("{PATH}?{query}")).await.assert(200);
    }
    let all = i64::try_from(queries.len() * TIMES).unwrap();
    eventually("the scans are counted", async || scans() - scans_before >= all).await;
    let read = rows() - rows_before;
    assert!(read < 50_000, "{all} lists read {read} rows");
}
