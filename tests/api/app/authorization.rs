//! Who may call which operation: the table `matrix.txt` against the server.
//!
//! Each cell is one request with a valid body, about things of the owner: an alert, a session, an API key, the account.
//! All callers but the admin and the other user are the owner, in that state or with that credential.

use std::{collections::BTreeMap, fmt::Write};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth::api_keys::create as create_key,
    pictures::samples,
    support::{App, Client, PASSWORD, file_of_transactions},
};

const MATRIX: &str = include_str!("matrix.txt");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const SCOPES: [&str; 8] = [
    "coins:read",
    "profile:read",
    "watchlist:read",
    "watchlist:write",
    "alerts:read",
    "alerts:write",
    "portfolio:read",
    "portfolio:write",
];

/// Operations below the paths of admins that others may call too, each with the reason.
const OPEN_TO_OTHERS: [&str; 1] = [
    // People see pictures of each other; the rest of an account is for its owner and admins.
    "GET /api/v1/users/{id}/avatar",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Anonymous,
    /// The owner, with a confirmed address.
    User,
    Other,
    Admin,
    /// With a token from before an admin disabled the account.
    Disabled,
    /// With a token from before the deletion.
    Deleted,
    Unconfirmed,
    /// With an API key of the owner that has all scopes.
    Key,
    /// With one that has all scopes but the one that is needed.
    Scopeless,
}

/// The columns of the table.
const CALLERS: [Caller; 9] = [
    Caller::Anonymous,
    Caller::User,
    Caller::Other,
    Caller::Admin,
    Caller::Disabled,
    Caller::Deleted,
    Caller::Unconfirmed,
    Caller::Key,
    Caller::Scopeless,
];

/// An operation as `METHOD /path`, and the scope that it needs of a key.
struct Operation {
    name: String,
    public: bool,
    /// The security schemes, any of which suffices.
    security: Vec<Value>,
    takes_keys: bool,
    /// Whether it documents a 403 `forbidden`.
    may_forbid: bool,
    example: Value,
}

impl Operation {
    fn method(&self) -> Method {
        self.name.split(' ').next().unwrap().parse().unwrap()
    }

    fn template(&self) -> &str {
        self.name.split(' ').nth(1).unwrap()
    }

    /// By its path, so that a new operation is for admins whatever it documents.
    fn for_admins(&self) -> bool {
        let path = self.template();
        let areas = ["/api/v1/users/", "/api/v1/users.", "/api/v1/admin/"];
        let at_their_path = path == "/api/v1/users" || areas.iter().any(|area| path.starts_with(area));
        at_their_path && !OPEN_TO_OTHERS.contains(&self.name.as_str())
    }

    /// The scope that a key needs.
    fn scope(&self) -> Option<&'static str> {
        let written = if self.method() == Method::GET { "read" } else { "write" };
        let room =
            self.template().strip_prefix("/api/v1/")?.trim_start_matches("user/").split(['/', '.']).next()?;
        let room = if room == "user" { "profile" } else { room };
        SCOPES.into_iter().find(|scope| self.takes_keys && *scope == format!("{room}:{written}"))
    }
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap();
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(METHODS.contains(&method.as_str()), "the walk does not know {method:?} of {template}");
            let forbidden = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
            let security = operation["security"].as_array().expect("stated");
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let schema = schema.map(|schema| schema.trim_start_matches("#/components/schemas/"));
            all.push(Operation {
                name: format!("{} {template}", method.to_uppercase()),
                public: security.is_empty() || security.contains(&json!({})),
                security: security.clone(),
                takes_keys: security.contains(&json!({"apiKey": []})),
                may_forbid: forbidden.starts_with("`forbidden`"),
                example: schema
                    .map_or(Value::Null, |name| document["components"]["schemas"][name]["example"].clone()),
            });
        }
    }
    // The endpoints of OAuth answer in the form of their RFCs: see `auth/oauth`.
    all.retain(|operation| !operation.template().starts_with("/oauth/"));
    assert!(all.len() > 60, "there is nothing to walk over");
    all
}

/// The statuses of each operation, in the order of [`CALLERS`].
fn rows() -> BTreeMap<String, Vec<u16>> {
    let lines = MATRIX.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = format!("{} {}", words.next().unwrap(), words.next().unwrap());
            (name, words.map(|word| word.parse().expect("a status")).collect())
        })
        .collect()
}

/// A caller and what it calls an operation about.
struct Case {
    client: Client,
    /// The account in bodies: that of the caller if it has one.
    account: Client,
    owner: Client,
    alert: String,
    transaction: String,
    session: String,
    key: String,
}

impl Case {
    async fn new(app: &App, caller: Caller, missing: Option<&str>) -> Self {
        let owner = if caller == Caller::Unconfirmed { app.user().await } else { app.confirmed_user().await };
        let alert = json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 75_000});
        let alert = owner.post("/api/v1/user/alerts", &alert).await.assert(201).json();
        let purchase =
            json!({"coin": "btc", "kind": "buy", "amount": "1", "total": "1", "day": "2026-01-01"});
        let purchase = owner.post("/api/v1/user/portfolio/transactions", &purchase).await.assert(201).json();
        let another = create_key(&owner, &["coins:read"]).await;
        let session = app.login(&owner.email).await.get("/api/v1/auth/sessions").await.assert(200).json();
        let session = session["data"].as_array().unwrap().iter().find(|one| one["current"] == true).unwrap();
        let (alert, session) = (alert["id"].as_str().unwrap().into(), session["id"].as_str().unwrap().into());
        let key = another["id"].as_str().unwrap().into();
        let transaction = purchase["id"].as_str().unwrap().into();
        let scopes: Vec<_> = SCOPES.into_iter().filter(|scope| Some(*scope) != missing).collect();
        let client = match caller {
            Caller::Anonymous => app.anyone(),
            Caller::User | Caller::Unconfirmed => owner.clone(),
            Caller::Other => app.confirmed_user().await,
            Caller::Admin => app.admin().await,
            Caller::Disabled => {
                let path = format!("/api/v1/users/{}", owner.id);
                app.admin().await.patch(&path, &json!({"disabled": true})).await.assert(200);
                owner.clone()
            }
            Caller::Deleted => {
                let password = json!({"password": PASSWORD});
                owner
                    .send(Method::DELETE, "/api/v1/user", |request| request.json(&password))
                    .await
                    .assert(204);
                owner.clone()
            }
            Caller::Key | Caller::Scopeless => {
                owner.bearing(create_key(&owner, &scopes).await["key"].as_str().unwrap())
            }
        };
        let account = if client.id.is_empty() { owner.clone() } else { client.clone() };
        Self { client, account, owner, alert, transaction, session, key }
    }

    /// Sends the request and returns the status. The body of a stream is not read.
    async fn call(&self, app: &App, operation: &Operation) -> u16 {
        let template = operation.template();
        let id = match template.trim_start_matches("/api/v1/").split('/').next().unwrap() {
            _ if template.contains("/alerts/") => self.alert.clone(),
            _ if template.contains("/transactions/") => self.transaction.clone(),
            _ if template.contains("/sessions/{id}") => self.session.clone(),
            _ if template.contains("/api-keys/") => self.key.clone(),
            "users" => self.owner.id.clone(),
            _ => Uuid::now_v7().to_string(),
        };
        let path = template
            .replace("{id}", &id)
            .replace("{coin}", "BTC")
            .replace("{code}", "not-found")
            .replace("{file}", "flow.css");
        assert!(!path.contains('{'), "say what to put into {path}");
        let required = match path.as_str() {
            "/api/v1/coins/sparse" => "?fields=price",
            "/api/v1/coins/search" => "?q=bit",
            _ => "",
        };
        let path = path + required;
        if path.ends_with("/stream") {
            let mut request = reqwest::Client::new().get(format!("{}{path}", app.base));
            if let Some(token) = &self.client.access_token {
                request = request.bearer_auth(token);
            }
            return request.send().await.unwrap().status().as_u16();
        }
        if operation.name == "GET /api/v1/users/{id}/avatar" {
            // Refused if the account is disabled or deleted, and so is the request below.
            self.owner.send(Method::PUT, "/api/v1/user/avatar", picture).await;
        }
        let body = self.body(operation);
        let send = |request: reqwest::RequestBuilder| match &body {
            Value::Null if operation.name == "PUT /api/v1/user/avatar" => picture(request),
            _ if operation.name == "POST /api/v1/users/import" => file_of_users(request),
            _ if operation.name == "POST /api/v1/user/portfolio/import" => file_of_transactions(request),
            Value::Null => request,
            body => request.json(body),
        };
        self.client.send(operation.method(), &path, send).await.status.as_u16()
    }

    /// A valid body: the example of the document, or one with what belongs to the caller.
    fn body(&self, operation: &Operation) -> Value {
        let email = &self.account.email;
        let unique = format!("{}@example.com", Uuid::now_v7());
        match operation.name.as_str() {
            "POST /api/v1/auth/login" => json!({"email": email, "password": PASSWORD}),
            "POST /api/v1/auth/register" => json!({"email": unique, "password": PASSWORD}),
            "POST /api/v1/users" => json!({"email": unique}),
            "POST /api/v1/auth/refresh" => json!({"refresh_token": self.account.refresh_token}),
            "POST /api/v1/auth/confirm/resend" | "POST /api/v1/auth/password/forgot" => {
                json!({"email": email})
            }
            "POST /api/v1/auth/password/change" => json!({"current_password": PASSWORD}),
            "POST /api/v1/auth/email/change" => json!({"new_email": unique, "password": PASSWORD}),
            "DELETE /api/v1/user" => json!({"password": PASSWORD}),
            "PUT /api/v1/user" | "PATCH /api/v1/user" | "PATCH /api/v1/users/{id}" => {
                json!({"name": "Ada King"})
            }
            _ => operation.example.clone(),
        }
    }
}

fn file_of_users(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header("content-type", "text/csv").body(format!("email\n{}@example.com\n", Uuid::now_v7()))
}

fn picture(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    let png = samples::png(&samples::quarters(16, 16), 1);
    request.header("content-type", "image/png").body(png)
}

#[tokio::test]
async fn every_operation_answers_every_caller_as_the_table_says() {
    let (app, rows) = (App::start(), rows());
    let operations = operations();
    let shared = futures_util::future::join_all(CALLERS.map(|caller| Case::new(&app, caller, None))).await;
    let mut wrong = String::new();
    for operation in &operations {
        let expected = rows.get(&operation.name);
        let mut found = Vec::new();
        for (column, caller) in CALLERS.into_iter().enumerate() {
            // A request that changes something gets things of its own.
            let harmless = operation.method() == Method::GET || caller == Caller::Anonymous;
            let needs_own = !harmless && expected.is_none_or(|expected| expected[column] < 300);
            let missing = operation.scope().filter(|_| caller == Caller::Scopeless);
            let own = if needs_own || missing.is_some() {
                Some(Case::new(&app, caller, missing).await)
            } else {
                None
            };
            found.push(own.as_ref().unwrap_or(&shared[column]).call(&app, operation).await);
        }
        if expected != Some(&found) {
            let statuses: Vec<_> = found.iter().map(ToString::to_string).collect();
            writeln!(wrong, "{:<56} {}", operation.name, statuses.join(" ")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "the server answers otherwise than tests/api/app/matrix.txt:\n{wrong}");
    let gone: Vec<_> =
        rows.keys().filter(|name| operations.iter().all(|operation| operation.name != **name)).collect();
    assert!(gone.is_empty(), "matrix.txt has rows of operations that do not exist: {gone:?}");
}

#[test]
fn the_table_of_who_may_call_what_keeps_its_rules() {
    let rows = rows();
    for operation in operations() {
        let (name, row) = (&operation.name, &rows[&operation.name]);
        let status = |caller: Caller| row[CALLERS.iter().position(|one| *one == caller).unwrap()];
        assert_eq!(row.len(), CALLERS.len(), "{name}");
        assert!(row.iter().all(|status| *status < 500), "{name}");
        if operation.public {
            assert!(![401, 403].contains(&status(Caller::Anonymous)) || name.contains("/auth/"), "{name}");
            continue;
        }
        assert_eq!(status(Caller::Anonymous), 401, "{name}");
        for ended in [Caller::Disabled, Caller::Deleted] {
            // To log out again is a success: the session has ended.
            let refused = if name == "POST /api/v1/auth/logout" { 204 } else { 401 };
            assert_eq!(status(ended), refused, "{name} answers {ended:?}");
        }
        assert_eq!(status(Caller::Scopeless), 403, "{name} answers a key without the scope");
        assert_eq!(status(Caller::Key) != 403, operation.takes_keys, "{name} and keys");
        assert!(![401, 403].contains(&status(Caller::Admin)), "{name} refuses admins");
        if operation.for_admins() {
            for user in [Caller::User, Caller::Other, Caller::Unconfirmed, Caller::Key] {
                assert_eq!(status(user), 403, "{name} is open to {user:?}");
            }
        } else if operation.template().contains("{id}") && !OPEN_TO_OTHERS.contains(&name.as_str()) {
            assert_eq!(
                [status(Caller::Other), status(Caller::Admin)],
                [404, 404],
                "{name} shows things of others"
            );
            assert!(status(Caller::User) < 300, "{name} refuses the owner");
        }
        assert_eq!(operation.may_forbid, operation.for_admins(), "{name} documents a 403 `forbidden`");
        let names_admins = operation.security == [json!({"admin": []})];
        assert_eq!(names_admins, operation.for_admins(), "{name} names the scheme `admin`");
    }
}

#[tokio::test]
async fn an_operation_that_needs_a_token_names_the_scheme() {
    let app = App::start();
    for operation in operations().iter().filter(|operation| !operation.public) {
        let path = operation.template().replace("{id}", &Uuid::now_v7().to_string()).replace("{coin}", "BTC");
        let response = app.anyone().send(operation.method(), &path, |request| request).await;
        let response = response.assert_problem(401, "missing-token");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="mintage""#);
    }
}

#[tokio::test]
async fn other_schemes_and_repeated_headers_are_no_credentials() {
    let app = App::start();
    let client = app.user().await;
    let token = client.token().to_owned();
    let get = async |build: &dyn Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder| {
        app.anyone().send(Method::GET, "/api/v1/user", build).await
    };
    get(&|request| request.header("authorization", format!("bEARER {token}"))).await.assert(200);
    get(&|request| request.header("authorization", format!("Basic {token}")))
        .await
        .assert_problem(401, "missing-token");
    get(&|request| request.header("authorization", &token)).await.assert_problem(401, "missing-token");
    get(&|request| request.bearer_auth(&token).bearer_auth(&token))
        .await
        .assert_problem(401, "invalid-token");
    get(&|request| request.header("cookie", format!("access_token={token}")))
        .await
        .assert_problem(401, "missing-token");
    let in_url = format!("/api/v1/user?access_token={token}");
    app.anyone().get(&in_url).await.assert_problem(401, "missing-token");
}
