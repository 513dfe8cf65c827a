//! What clients send can neither forge a line of the log nor a secret get into one.

use std::{fs, panic::AssertUnwindSafe};

use serde_json::{Value, json};

use crate::support::{
    App, Database, PASSWORD,
    binary::{Server, directory},
};

#[tokio::test]
async fn a_secret_in_the_log_is_found_when_its_server_ends() {
    let app = App::start();
    let user = app.user().await;
    tracing::info!(token = user.token(), "logged by mistake");
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| drop(app)));
    let text = *ended.expect_err("the secret was not found").downcast::<String>().unwrap();
    assert!(text.contains("secrets are in the log") && text.contains("logged by mistake"), "{text}");
}

#[tokio::test]
async fn line_breaks_and_escapes_that_clients_send_do_not_break_the_log() {
    let (home, database) = (directory(), Database::create());
    let (url, path) = (database.url(), home.path().join("log"));
    for format in ["json", "text"] {
        let settings = [("DATABASE_URL", url.expose()), ("LOG_FORMAT", format), ("LOG_LEVEL", "debug")];
        let log = fs::File::create(&path).unwrap();
        let mut server = Server::start_logging_to(log.into(), home.path(), &settings);
        let client = server.client();
        let forged = "%0d%0a%1b%5b31m%7b%22level%22:%22ERROR%22,%22message%22:%22forged%22%7d%0aforged";
        client.get(&format!("/{forged}")).await.assert(404);
        client.get(&format!("/api/v1/coins/{forged}?q={forged}")).await.assert(401);
        let text =
            "a\r\n\u{1b}[31m\u{9b}31m{\"level\":\"ERROR\",\"message\":\"forged\"}\nforged\u{2028}\u{202e}";
        for name in ["email", "username", "name", "password"] {
            let mut body = json!({"email": format!("{format}@example.com"), "password": PASSWORD});
            body[name] = text.into();
            client.post("/api/v1/auth/register", &body).await;
            client.post("/api/v1/auth/login", &body).await;
        }
        let agent = "\u{9b}31m\tforged {\"level\":\"ERROR\"}";
        for header in
            ["user-agent", "x-request-id", "x-forwarded-for", "forwarded", "referer", "authorization"]
        {
            let value = reqwest::header::HeaderValue::from_bytes(agent.as_bytes()).unwrap();
            let method = reqwest::Method::GET;
            client.send(method, "/api/v1/user", |request| request.header(header, value)).await.assert(401);
        }
        assert!(server.stop().success());
        let log = fs::read_to_string(&path).unwrap();
        assert!(log.lines().count() >= 3, "{log}");
        for line in log.lines() {
            assert!(!line.starts_with("forged") && !line.starts_with('{') || format == "json", "{line}");
            assert!(!line.chars().any(|c| c.is_control() || "\u{2028}\u{202e}".contains(c)), "{line:?}");
            if format == "json" {
                let event: Value = serde_json::from_str(line).expect(line);
                assert!(event["level"] != "ERROR" && event["message"] != "forged", "{line}");
            }
        }
    }
}
