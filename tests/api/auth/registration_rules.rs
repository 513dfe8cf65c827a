//! Who may register: `REGISTRATION` and `REGISTRATION_DOMAINS`.

use serde_json::{Value, json};

use crate::support::{App, PASSWORD};

const REGISTER: &str = "/api/v1/auth/register";
const CONFIRM: &str = "/api/v1/auth/confirm";
const RULES: &str = "/api/v1/auth/registration";
const USERS: &str = "/api/v1/users";
const CHANGE: &str = "/api/v1/auth/email/change";

fn body(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD})
}

#[tokio::test]
async fn anyone_can_register_by_default() {
    let app = App::start();
    let rules = app.anyone().get(RULES).await.assert(200).json();
    assert_eq!(rules, json!({"mode": "open", "domains": [], "confirmation": false}));
    app.anyone().post(REGISTER, &body("ada@anything.example")).await.assert(201);
}

#[tokio::test]
async fn a_closed_registration_is_answered_alike_whether_or_not_the_account_exists() {
    let app = App::start();
    app.register("ada@example.com").await;
    for (mode, confirmation) in
        [("invitation", "off"), ("closed", "off"), ("closed", "on"), ("Invitation", "on")]
    {
        let closed = app.replica_with(&[("REGISTRATION", mode), ("REQUIRE_CONFIRMATION", confirmation)]);
        let rules = closed.anyone().get(RULES).await.assert(200).json();
        assert_eq!(rules["mode"], mode.to_lowercase());
        let mut details = Vec::new();
        for email in ["ada@example.com", "bob@example.com"] {
            let refused = closed.anyone().post(REGISTER, &body(email)).await;
            let mut refused = refused.assert_problem(403, "registration-closed").json();
            refused["request_id"] = Value::Null;
            details.push(refused);
        }
        assert_eq!(details[0], details[1]);
        // People who have an account are not affected.
        closed.login("ada@example.com").await;
    }
    assert_eq!(app.count("SELECT count(*) FROM users"), 1);
    assert_eq!(app.count("SELECT count(*) FROM registrations"), 0);
}

#[tokio::test]
async fn with_invitation_only_admins_invite_people_of_any_domain_and_if_closed_no_one() {
    let app = App::start();
    let admin = app.admin().await;
    let settings = [("REGISTRATION", "invitation"), ("REGISTRATION_DOMAINS", "example.org")];
    let by_invitation = app.replica_with(&settings);
    let invite =
        async |server: &App, email| admin.on(&server.base).post(USERS, &json!({"email": email})).await;
    invite(&by_invitation, "grace@example.com").await.assert(201);
    let closed = app.replica_with(&[("REGISTRATION", "closed")]);
    invite(&closed, "edsger@example.com").await.assert_problem(403, "registration-closed");
    let file = |request: reqwest::RequestBuilder| {
        request.header("content-type", "text/csv").body("email\nedsger@example.com\n")
    };
    let import =
        admin.on(&closed.base).send(reqwest::Method::POST, "/api/v1/users/import?invite=true", file).await;
    import.assert_problem(403, "registration-closed");
    // An invitation from before is an account already.
    let mail = app.mail_to("grace@example.com").await;
    let accept = json!({"token": mail.token(), "new_password": "a horse of another colour"});
    closed.anyone().post("/api/v1/auth/invitation/accept", &accept).await.assert(204);
}

#[tokio::test]
async fn only_addresses_of_the_given_domains_may_register() {
    let domains = "Example.com, *.example.org, b\u{fc}cher.example";
    let app = App::with(&[("REGISTRATION_DOMAINS", domains)]);
    let rules = app.anyone().get(RULES).await.assert(200).json();
    assert_eq!(rules["domains"], json!(["example.com", "*.example.org", "xn--bcher-kva.example"]));
    for email in ["ada@example.com", "bob@EXAMPLE.COM", "eve@mail.example.org", "mia@xn--bcher-kva.example"] {
        app.anyone().post(REGISTER, &body(email)).await.assert(201);
    }
    for email in [
        "ada@mail.example.com",
        "ada@example.org",
        "ada@notexample.com",
        "ada@example.com.evil.test",
        "ada@example.co",
        "\"ada@example.com\"@evil.test",
        "ada%example.com@evil.test",
        "ada@example.com@evil.test",
    ] {
        let refused = app.anyone().post(REGISTER, &body(email)).await;
        if refused.status != 422 {
            let refused = refused.assert_problem(403, "email-domain-not-allowed");
            assert_eq!(refused.json()["errors"][0]["pointer"], "/email", "{email}");
        }
    }
    assert_eq!(app.count("SELECT count(*) FROM users"), 4);
}

#[tokio::test]
async fn an_account_changes_to_an_address_of_these_domains_only() {
    let open = App::start();
    let user = open.user().await;
    let app = open.replica_with(&[("REGISTRATION", "closed"), ("REGISTRATION_DOMAINS", "example.com")]);
    let change = |email: &str| json!({"new_email": email, "password": PASSWORD});
    let here = user.on(&app.base);
    let refused = here.post(CHANGE, &change("ada@evil.test")).await;
    let refused = refused.assert_problem(403, "email-domain-not-allowed").json();
    assert_eq!(refused["errors"][0]["pointer"], "/new_email");
    here.post(CHANGE, &change("ada@example.com")).await.assert(202);
    open.mail_to("ada@example.com").await;

    // Begun before the domains were limited.
    user.post(CHANGE, &change("ada@evil.test")).await.assert(202);
    let token = open.mail_to("ada@evil.test").await.token();
    let confirm = json!({"token": token});
    let path = "/api/v1/auth/email/change/confirm";
    app.anyone().post(path, &confirm).await.assert_problem(403, "email-domain-not-allowed");
    open.anyone().post(path, &confirm).await.assert(200);
}

#[tokio::test]
async fn a_pending_registration_follows_the_settings_of_its_confirmation() {
    let open = App::with(&[("REQUIRE_CONFIRMATION", "on")]);
    open.anyone().post(REGISTER, &body("ada@example.com")).await.assert(202);
    let token = open.mail_to("ada@example.com").await.token();
    let confirm = json!({"token": token, "password": PASSWORD});
    for (settings, code) in [
        (("REGISTRATION", "closed"), "registration-closed"),
        (("REGISTRATION", "invitation"), "registration-closed"),
        (("REGISTRATION_DOMAINS", "example.org"), "email-domain-not-allowed"),
    ] {
        let changed = open.replica_with(&[settings]);
        changed.anyone().post(CONFIRM, &confirm).await.assert_problem(403, code);
        let wrong = json!({"token": "nonsense", "password": PASSWORD});
        changed.anyone().post(CONFIRM, &wrong).await.assert_problem(422, "invalid-code");
    }
    assert_eq!(open.count("SELECT count(*) FROM users"), 0);
    open.anyone().post(CONFIRM, &confirm).await.assert(200);
}
