//! Services whose answers repeat our keys and passwords.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{
    Database, PASSWORD,
    binary::{Server, directory, mintage, run, stderr, succeed},
    eventually,
    market::{SYNC, provider},
    smtp::{Encryption, Manner, SmtpServer},
    upstream::{Reply, Upstream, fixture},
};

const CMC_KEY: &str = "cmc-4d8e0f6b-canary-1";
const GECKO_KEY: &str = "CG-canary+2/x9Lq3v=";
const X_TOKEN: &str = "AAAAAAAAAAcanary3%2BuI0%3D";

fn refusal(status: u16, body: &Value) -> Reply {
    // As PHP writes it.
    Reply::Http(status, "", body.to_string().replace('/', "\\/").into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_repeated_by_a_provider_is_masked() {
    let (database, home) = (Database::create(), directory());
    let coinmarketcap =
        json!({"status": {"error_code": 1001, "error_message": format!("bad key {CMC_KEY}")}});
    let coingecko = json!({"error": format!("{GECKO_KEY} is {}", BASE64_STANDARD.encode(GECKO_KEY))});
    let bearer = format!("Bearer {X_TOKEN} or {}", X_TOKEN.replace("%2B", "+").replace("%3D", "="));
    let x = json!({"title": "Unauthorized", "detail": bearer, "status": 401});
    let coinmarketcap = Upstream::start(vec![refusal(401, &coinmarketcap)]).await;
    let coingecko = Upstream::start(vec![refusal(403, &coingecko)]).await;
    let x = Upstream::start(vec![refusal(401, &x)]).await;
    // Posts are searched once there are coins.
    let coinpaprika = Upstream::start(vec![fixture(200, "coinpaprika_tickers_gbp")]).await;
    let media_type: &str = format!("content-type: text/{GECKO_KEY}\r\n").leak();
    let url = database.url();
    let settings = [
        ("DATABASE_URL", url.expose()),
        ("COINS_PROVIDERS", "coinmarketcap,coingecko,coinpaprika"),
        ("COINS_SYNC_INTERVAL", "1s"),
        ("COINMARKETCAP_API_KEY", CMC_KEY),
        ("COINMARKETCAP_URL", &coinmarketcap.url),
        ("COINGECKO_API_KEY", GECKO_KEY),
        ("COINGECKO_URL", &coingecko.url),
        ("COINPAPRIKA_URL", &coinpaprika.url),
        ("SOCIAL_PROVIDERS", "x"),
        ("X_BEARER_TOKEN", X_TOKEN),
        ("X_URL", &x.url),
        ("LOG_LEVEL", "trace"),
    ];
    let path = home.path().join("log");
    let mut server =
        Server::start_logging_to(fs::File::create(&path).unwrap().into(), home.path(), &settings);
    let created =
        succeed(mintage(home.path(), &settings[..1]).args(["create-admin", "--email", "root@example.com"]));
    let password = created.lines().find_map(|line| line.strip_prefix("password: ")).unwrap();
    let mut admin = server.client();
    let login = json!({"email": "root@example.com", "password": password});
    admin.take(&admin.post("/api/v1/auth/login", &login).await.assert(200).json());

    let mut shown = Value::Null;
    let mut answered = async |masked: &[&str]| {
        eventually("their refusals", async || {
            shown = admin.get(SYNC).await.assert(200).json();
            let text = shown.to_string();
            masked.iter().all(|part| text.contains(part))
        })
        .await;
        shown.to_string()
    };
    let mut seen =
        answered(&["bad key [secret]", "[secret] is [secret]", "Bearer [secret] or [secret]"]).await;
    coingecko.say(vec![Reply::Raw(media_type, b"{}".to_vec())]);
    seen += &answered(&["not JSON but \\\"text/[secret]"]).await;
    assert_eq!(provider(&shown, "coinmarketcap")["state"], "stopped", "{shown}");
    assert!(server.stop().success());
    let log = fs::read_to_string(path).unwrap();
    assert!(log.contains("bad key [secret]") && log.contains("TRACE"), "it is logged");
    for secret in ["canary", &BASE64_STANDARD.encode(GECKO_KEY), PASSWORD] {
        assert!(!seen.contains(secret) && !log.contains(secret), "{secret} is shown or logged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_repeated_by_a_mail_server_is_masked() {
    const ANSWER: &str = "554 5.7.0 mailer-canary:s3cret-canary AG1haWxlci1jYW5hcnkAczNjcmV0LWNhbmFyeQ== \
                          czNjcmV0LWNhbmFyeQ== is no login";
    let (database, home) = (Database::create(), directory());
    let smtp = SmtpServer::start(Encryption::None, Manner::Refuse("RCPT", ANSWER));
    let (url, port) = (database.url(), smtp.port.to_string());
    let settings = [
        ("DATABASE_URL", url.expose()),
        ("MAIL_SERVER", "127.0.0.1"),
        ("MAIL_PORT", &port),
        ("MAIL_SECURITY", "none"),
        ("MAIL_USERNAME", "mailer-canary"),
        ("MAIL_PASSWORD", "s3cret-canary"),
        ("MAIL_FROM", "no-reply@mintage.test"),
        ("LOG_LEVEL", "trace"),
    ];
    let path = home.path().join("log");
    let mut server =
        Server::start_logging_to(fs::File::create(&path).unwrap().into(), home.path(), &settings);
    succeed(mintage(home.path(), &settings[..1]).args(["send-test-mail", "--to", "ada@example.com"]));
    let refused = async || fs::read_to_string(&path).unwrap().contains("[secret]:[secret] [secret]");
    eventually("the refusal", refused).await;
    assert!(server.stop().success());
    assert!(!fs::read_to_string(path).unwrap().contains("anary"));
    let stored = "SELECT 1 FROM jobs WHERE last_error LIKE '%[secret]%' AND last_error NOT LIKE '%anary%'";
    let count = diesel::RunQueryDsl::execute(diesel::sql_query(stored), &mut database.connect()).unwrap();
    assert_eq!(count, 1);

    smtp.behave(Manner::Refuse("AUTH", ANSWER));
    let refused = run(mintage(home.path(), &settings).args(["check-config", "--smtp"]));
    let said = stderr(&refused);
    assert!(!refused.status.success() && said.contains("[secret]") && !said.contains("s3cret"), "{said}");
    assert!(!said.contains("czNjcmV0"), "{said}");
}
