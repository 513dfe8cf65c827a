//! The start page, the version and the icon.

use reqwest::header::{ACCEPT, HOST, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::support::{
    App, PUBLIC_URL, Response, eventually,
    market::{COINS, Market, from},
};

/// What browsers send for a page.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn page(app: &App) -> Response {
    let get = |request: reqwest::RequestBuilder| request.header(ACCEPT, BROWSER);
    app.anyone().send(reqwest::Method::GET, "/", get).await.assert(200)
}

/// The values of an attribute in the page.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!("{name}=\"");
    html.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn people_get_a_page_and_programs_get_json() {
    let app = App::start();
    assert!(page(&app).await.header("content-type").starts_with("text/html"));
    for accept in ["application/json", "*/*", "image/png", "text/html;q=0.5, application/json"] {
        let get = |request: reqwest::RequestBuilder| request.header(ACCEPT, accept);
        let body = app.anyone().send(reqwest::Method::GET, "/", get).await.assert(200).json();
        assert_eq!(body["name"], "Mintage", "{accept}");
    }
    let body = app.anyone().get("/").await.assert(200).json();
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&body["data"]["source"], &body["data"]["stale"]), (&json!("demo"), &json!(true)));
    assert_eq!(body["links"]["problems"], format!("{PUBLIC_URL}/problems"));
}

#[tokio::test]
async fn every_link_of_the_start_page_leads_somewhere() {
    let app = App::start();
    let html = page(&app).await.text();
    let json = app.anyone().get("/").await.json();
    let of_json = json["links"].as_object().unwrap().values().map(|link| {
        let link = link.as_str().unwrap();
        link.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{link} is on another server")).to_owned()
    });
    let of_page = attributes(&html, "href").into_iter().map(|link| format!("/{link}"));
    let links: Vec<_> = of_page.chain(of_json).collect();
    assert!(links.len() > 10, "{links:?}");
    for link in &links {
        app.anyone().get(link).await.assert(200);
    }
}

#[tokio::test]
async fn the_start_page_of_development_leads_to_the_mailbox() {
    let html = page(&App::with(&[("PUBLIC_URL", "http://localhost:8080")])).await.text();
    assert!(attributes(&html, "href").contains(&"dev/mails"), "{html}");
}

#[tokio::test]
async fn the_start_page_runs_no_scripts_and_shows_settings_as_text() {
    let settings = [("PRODUCT_NAME", "Acme <script>&"), ("PUBLIC_URL", "https://api.example.com/a'b<c>")];
    let app = App::with(&settings);
    let page = page(&app).await;
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(html.contains("<h1>Acme &#60;script&#62;&#38;</h1>"), "{html}");
    assert!(!html.contains("<script") && !html.contains("<c>") && !html.contains("onclick"), "{html}");
    assert_eq!(html.matches("curl ").count(), 3, "{html}");
    assert!(html.contains("https://api.example.com/a&#39;b%3Cc%3E/api/v1/auth/login"), "{html}");
    assert!(attributes(&html, "href").iter().all(|link| !link.contains("//")), "relative addresses only");
    assert!(attributes(&html, "src").is_empty());
}

#[tokio::test]
async fn a_start_page_that_the_client_has_is_not_sent_again() {
    let app = App::start();
    for accept in [BROWSER, "application/json"] {
        let get = |tag: &str| {
            let tag = tag.to_owned();
            move |request: reqwest::RequestBuilder| request.header(ACCEPT, accept).header(IF_NONE_MATCH, tag)
        };
        let first = app.anyone().send(reqwest::Method::GET, "/", get("\"none\"")).await.assert(200);
        let same = app.anyone().send(reqwest::Method::GET, "/", get(first.header("etag"))).await.assert(304);
        assert!(same.body.is_empty());
        for response in [&first, &same] {
            assert_eq!(response.header("cache-control"), "private, no-cache");
            assert!(response.header("vary").contains("accept"));
        }
    }
}

#[tokio::test]
async fn the_start_page_says_how_old_the_data_is_and_who_provides_it() {
    let app = App::start();
    let age = app.anyone().get("/").await.json()["data"]["age_seconds"].as_i64().unwrap();
    assert!(age > 0);
    assert!(page(&app).await.text().contains("Demonstration data: invented numbers, "), "demo");

    let market = Market::start().await;
    let app = market.app("coingecko", &[]);
    from(&app.user().await, "coingecko").await;
    let shows = async |text: &str| page(&app).await.text().contains(text);
    eventually("the data", async || shows("Market data from coingecko, ").await).await;
    let coins = app.user().await.get(COINS).await.json();
    let attribution = coins["attribution"].as_str().unwrap();
    assert!(shows(attribution).await, "{attribution}");
    let json = app.anyone().get("/").await.json();
    assert_eq!(
        (&json["data"]["as_of"], &json["data"]["attribution"]),
        (&coins["as_of"], &attribution.into())
    );
}

#[tokio::test]
async fn the_version_names_the_program_and_nothing_else() {
    let app = App::start();
    let body = app.anyone().get("/version").await.assert(200).json();
    let mut members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["commit", "name", "version"]);
    assert_eq!((&body["name"], &body["version"]), (&json!("mintage"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(body["commit"], mintage::home::COMMIT.map_or(Value::Null, Value::from));
}

#[tokio::test]
async fn without_api_docs_nothing_states_the_version_or_links_to_the_documentation() {
    let app = App::with(&[("API_DOCS", "off")]);
    app.anyone().get("/version").await.assert_problem(404, "not-found");
    let json = app.anyone().get("/").await.assert(200).json();
    assert!(json.get("version").is_none());
    let mut links: Vec<_> = json["links"].as_object().unwrap().keys().map(String::as_str).collect();
    links.sort_unstable();
    assert_eq!(links, ["health", "problems"]);
    let html = page(&app).await.text();
    for hidden in [env!("CARGO_PKG_VERSION"), "apidocs", "openapi", "postman", "Version"] {
        assert!(!html.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn the_icon_is_an_icon() {
    let app = App::start();
    let icon = app.anyone().get("/favicon.ico").await.assert(200);
    assert_eq!(icon.header("content-type"), "image/vnd.microsoft.icon");
    assert_eq!(icon.header("cache-control"), "public, max-age=86400");
    assert!(icon.body.starts_with(&[0, 0, 1, 0, 3, 0]), "an ICO with three sizes");
}

/// The address of the page comes from `PUBLIC_URL`: a client cannot put another one there for those who share a cache.
#[tokio::test]
async fn the_host_that_a_client_names_does_not_appear_in_the_start_page() {
    let app = App::start();
    for accept in [BROWSER, "application/json"] {
        let get = |request: reqwest::RequestBuilder| {
            request
                .header(HOST, "evil.example")
                .header("x-forwarded-host", "evil.example")
                .header(ACCEPT, accept)
        };
        let text = app.anyone().send(reqwest::Method::GET, "/", get).await.assert(200).text();
        assert!(!text.contains("evil") && text.contains(PUBLIC_URL), "{text}");
    }
}
