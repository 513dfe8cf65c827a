//! Metrics on a port of their own.

use diesel::connection::SimpleConnection;

use crate::support::{
    App, eventually,
    market::{self, COINS, Market, from},
    social,
    upstream::{Upstream, fixture},
};

/// The metrics for a client with this `Accept`, which must be of the content type.
async fn read_as(app: &App, accept: &str, content_type: &str) -> String {
    let get = reqwest::Client::new().get(app.metrics.as_ref().unwrap());
    let answer = get.header("accept", accept).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], format!("{content_type}; charset=utf-8"));
    answer.text().await.unwrap()
}

async fn read(app: &App) -> String {
    read_as(app, "*/*", CLASSIC).await
}

const CLASSIC: &str = "text/plain; version=0.0.4";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

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
async fn scrapers_get_the_format_that_they_prefer() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    app.user().await.get(COINS).await.assert(200);
    // What Prometheus 3 sends.
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let text = read_as(&app, prometheus, OPEN_METRICS).await;
    assert!(text.contains("\n# TYPE mintage_http_requests counter\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n"));
    let labels = r#"route="/api/v1/coins",method="GET",status="2xx""#;
    let coins = format!("mintage_http_requests_total{{{labels}}}");
    assert_eq!(value(&text, &coins), 1);
    for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0.1, text/plain"] {
        let text = read_as(&app, accept, CLASSIC).await;
        assert!(text.contains("\n# TYPE mintage_http_requests_total counter\n"), "{text}");
        assert_eq!(value(&text, &coins), 1);
        assert!(!text.contains("# EOF"));
    }
}

#[tokio::test]
async fn the_build_and_the_process_are_reported() {
    let app = App::with(&[("METRICS_BIND", "127.0.0.1:0")]);
    let text = read(&app).await;
    let (version, commit) = (env!("CARGO_PKG_VERSION"), mintage::home::COMMIT.unwrap_or("unknown"));
    let build = format!(r#"mintage_build_info{{version="{version}",commit="{commit}"}}"#);
    assert_eq!(value(&text, &build), 1);
    if cfg!(target_os = "linux") {
        assert!(value(&text, "process_resident_memory_bytes") > 1_000_000);
        assert!(value(&text, "process_threads") > 1);
        let open = value(&text, "process_open_fds");
        assert!(open > 2 && open <= value(&text, "process_max_fds"));
        let real = |text: &str, sample: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(sample)).expect("the sample");
            line.trim().parse().expect("a number")
        };
        assert!(real(&text, "process_cpu_seconds_total ") > 0.0);
        let started = |text: &str| real(text, "process_start_time_seconds ");
        assert!(started(&text) > 1.7e9, "after 2023");
        assert!((started(&text) - started(&read(&app).await)).abs() < 0.001, "it does not change");
    }
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
