//! Metrics on a port of their own.

use diesel::connection::SimpleConnection;

use crate::support::{
    App, eventually,
    market::{self, COINS, Market, from},
    social,
    upstream::{Upstream, fixture},
};

async fn read(app: &App) -> String {
    let answer = reqwest::get(app.metrics.as_ref().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    answer.text().await.unwrap()
}

fn value(text: &str, sample: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_class_of_status() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let user = app.user().await;
    for _ in 0..3 {
        user.get(COINS).await.assert(200);
    }
    user.get(&format!("{COINS}/BTC")).await.assert(200);
    user.get(&format!("{COINS}/NOPE")).await.assert(404);
    app.anyone().get(COINS).await.assert(401);
    for path in ["/no/such/path", "/api/v1/nothing"] {
        user.get(path).await.assert(404);
    }
    let text = read(&app).await;
    let total = |route: &str, status: &str| {
        let labels = format!(r#"route="{route}",method="GET",status="{status}""#);
        value(&text, &format!("mintage_http_requests_total{{{labels}}}"))
    };
    assert_eq!((total("/api/v1/coins", "2xx"), total("/api/v1/coins", "4xx")), (3, 1));
    let one = "/api/v1/coins/{coin}";
    assert_eq!((total(one, "2xx"), total(one, "4xx")), (1, 1));
    assert_eq!(total("other", "4xx"), 2);
    let took = r#"mintage_http_request_duration_seconds_count{route="/api/v1/coins",method="GET"}"#;
    assert_eq!(value(&text, took), 4);
    assert!(value(&text, r#"mintage_access_tokens_total{signature="remembered"}"#) >= 4);
    assert!(value(&text, r#"mintage_access_tokens_total{signature="checked"}"#) >= 1);
    assert_eq!(value(&text, "mintage_database_slots"), 5);
    assert_eq!(value(&text, "mintage_hash_queue"), 0);
    assert!(!text.contains("BTC") && !text.contains("no/such"), "labels are bounded");
    app.anyone().get("/metrics").await.assert(404);
}

#[tokio::test]
async fn requests_of_the_sync_are_counted_by_service() {
    let market = Market::start().await;
    market.coingecko.say(vec![fixture(429, "coingecko_error_429")]);
    let app = market.app("coingecko,coinpaprika", &[("METRICS_BIND", "127.0.0.1:0")]);
    from(&app.user().await, "coinpaprika").await;
    eventually("the count", async || read(&app).await.contains("mintage_sync_total{service=\"coinpaprika"))
        .await;
    let text = read(&app).await;
    let total = |service: &str, outcome: &str| {
        value(&text, &format!(r#"mintage_sync_total{{service="{service}",outcome="{outcome}"}}"#))
    };
    assert_eq!((total("coingecko", "failure"), total("coingecko", "success")), (1, 0));
    assert_eq!((total("coinpaprika", "failure"), total("coinpaprika", "success")), (0, 1));
    assert_eq!(value(&text, r#"mintage_sync_duration_seconds_count{service="coinpaprika"}"#), 1);
}

#[tokio::test]
async fn services_and_jobs_are_reported_while_the_database_is_up() {
    let market = Market::start().await;
    market.coingecko.say(vec![fixture(429, "coingecko_error_429")]);
    let settings = [("METRICS_BIND", "127.0.0.1:0"), ("COINGECKO_DAILY_CALLS", "300")];
    let app = market.app("coingecko,coinpaprika", &settings);
    let begin = app.clock.now().timestamp().unsigned_abs();
    from(&app.user().await, "coinpaprika").await;
    let bury = "INSERT INTO jobs (id, kind, payload, state, max_attempts, due_at, created_at) \
                VALUES (gen_random_uuid(), 'unknown', '{}', 'dead', 1, now(), now())";
    app.sql().batch_execute(bury).unwrap();

    let text = read(&app).await;
    let of =
        |name: &str, service: &str| value(&text, &format!("mintage_sync_{name}{{service=\"{service}\"}}"));
    assert_eq!((of("ready", "coingecko"), of("ready", "coinpaprika")), (0, 1));
    assert_eq!((of("failures", "coingecko"), of("failures", "coinpaprika")), (1, 0));
    assert!(of("last_error_timestamp_seconds", "coingecko") >= begin);
    assert!(of("last_success_timestamp_seconds", "coinpaprika") >= begin);
    assert!(!text.contains("last_success_timestamp_seconds{service=\"coingecko\"}"), "there was none");
    assert_eq!((of("budget_used", "coingecko"), of("budget", "coingecko")), (1, 300));
    assert!(value(&text, "mintage_sync_next_run_timestamp_seconds") > begin);
    assert_eq!(value(&text, "mintage_jobs{state=\"dead\"}"), 1);
    assert_eq!(value(&text, "mintage_database_up"), 1);

    let tasks = ["coin-sync", "follow-coins", "follow-tokens", "hash-0", "housekeeping", "jobs"];
    for task in tasks {
        assert_eq!(value(&text, &format!("mintage_task_restarts_total{{task=\"{task}\"}}")), 0);
    }
    assert_eq!(value(&text, "mintage_log_lines_dropped_total"), 0);
    let age = |text: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix("mintage_blocklist_age_seconds "));
        line.expect("the age").parse().expect("seconds")
    };
    assert!(age(&text) < 3.0);

    app.database().go_away();
    let away = async || value(&read(&app).await, "mintage_database_up") == 0;
    eventually("word of the outage", away).await;
    let text = read(&app).await;
    assert!(age(&text) >= 3.0);
    assert!(!text.contains("mintage_sync_ready") && !text.contains("mintage_jobs"));
    assert!(text.contains("mintage_http_requests_total"));
    app.database().come_back();
}

#[tokio::test]
async fn a_source_of_posts_has_one_name_in_all_metrics() {
    let (market, instance) = (social::market().await, Upstream::start(vec![social::timeline(&[])]).await);
    let settings = [
        ("METRICS_BIND", "127.0.0.1:0"),
        ("SOCIAL_PROVIDERS", "mastodon"),
        ("MASTODON_URLS", instance.url.as_str()),
    ];
    let app = market::app(&market, &settings);
    let name = instance.url.replace("http://", "mastodon:");
    let answered = format!("mintage_sync_last_success_timestamp_seconds{{service=\"{name}\"}}");
    eventually("a reading", async || read(&app).await.contains(&answered)).await;
    let text = read(&app).await;
    assert!(value(&text, &format!(r#"mintage_sync_total{{service="{name}",outcome="success"}}"#)) >= 20);
    assert!(value(&text, &format!(r#"mintage_sync_duration_seconds_count{{service="{name}"}}"#)) >= 20);
    assert!(!text.contains(r#"service="mastodon""#));
}

#[tokio::test]
async fn metrics_are_off_by_default() {
    assert_eq!(App::start().metrics, None);
}
