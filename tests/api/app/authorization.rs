//! Tests for every operation of the OpenAPI document who may call it.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{App, Client, Response};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Operations below the paths of admins ([`Operation::for_admins`]) that others may call too, each with the reason.
const OPEN_TO_OTHERS: [(Method, &str); 1] = [
    // People see pictures of each other; the rest of an account is for its owner and admins.
    (Method::GET, "/api/v1/users/{id}/avatar"),
];

struct Operation {
    method: Method,
    template: String,
    public: bool,
    /// Whether it documents a 403 `forbidden`.
    may_forbid: bool,
}

impl Operation {
    /// By its path, so that a new operation is for admins whatever it documents.
    fn for_admins(&self) -> bool {
        let at_their_path = self.template == "/api/v1/users"
            || ["/api/v1/users/", "/api/v1/admin/"].iter().any(|area| self.template.starts_with(area));
        at_their_path && !self.is_open_to_others()
    }

    fn is_open_to_others(&self) -> bool {
        OPEN_TO_OTHERS.iter().any(|(method, path)| *method == self.method && *path == self.template)
    }
}

/// The operations of the document that pass `filter`, of which there must be some.
#[track_caller]
fn operations(filter: impl Fn(&Operation) -> bool) -> Vec<Operation> {
    let document: Value = serde_json::from_str(&mintage::app::document().to_json().unwrap()).unwrap();
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            assert!(METHODS.contains(&name.as_str()), "the walk does not know {name:?} of {template}");
            let forbidden = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
            all.push(Operation {
                method: name.to_uppercase().parse().unwrap(),
                template: template.clone(),
                public: is_public(operation["security"].as_array().expect("stated")),
                may_forbid: forbidden.starts_with("`forbidden`"),
            });
        }
    }
    // The endpoints of OAuth answer in the form of their RFCs: see `auth/oauth`.
    all.retain(|operation| !operation.template.starts_with("/oauth/"));
    all.retain(filter);
    assert!(!all.is_empty(), "there is nothing to walk over");
    all
}

/// No requirement, or an empty one: a token is accepted but not needed.
fn is_public(security: &[Value]) -> bool {
    security.is_empty() || security.contains(&json!({}))
}

/// With an id that nothing has.
async fn call(client: &Client, operation: &Operation) -> Response {
    call_with_id(client, operation, &Uuid::now_v7().to_string()).await
}

async fn call_with_id(client: &Client, operation: &Operation, id: &str) -> Response {
    let path = operation
        .template
        .replace("{id}", id)
        .replace("{coin}", "BTC")
        .replace("{code}", "not-found")
        .replace("{file}", "flow.css");
    assert!(!path.contains('{'), "say what to put into {path}");
    let body = json!({});
    let with_body = operation.method != Method::GET;
    client
        .send(
            operation.method.clone(),
            &path,
            |request| if with_body { request.json(&body) } else { request },
        )
        .await
}

#[tokio::test]
async fn every_operation_that_is_not_public_needs_a_token() {
    let app = App::start();
    for operation in operations(|operation| !operation.public) {
        let response = call(&app.anyone(), &operation).await.assert_problem(401, "missing-token");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="mintage""#);
    }
}

#[tokio::test]
async fn public_operations_need_no_token() {
    let app = App::start();
    for operation in operations(|operation| operation.public) {
        let response = call(&app.anyone(), &operation).await;
        let is_public = response.status != 401 && response.status != 403;
        assert!(is_public, "{} answers {}", operation.template, response.status);
    }
}

#[tokio::test]
async fn operations_for_admins_are_forbidden_for_users_and_open_for_admins() {
    let app = App::start();
    let (user, admin) = (app.user().await, app.admin().await);
    for operation in operations(Operation::for_admins) {
        let name = format!("{} {}", operation.method, operation.template);
        let refused = call(&user, &operation).await;
        assert_eq!(refused.status, 403, "{name} is open for users");
        refused.assert_problem(403, "forbidden");
        assert!(operation.may_forbid, "{name} does not document its 403 `forbidden`");
        let answer = call(&admin, &operation).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{name} refuses an admin: {}", answer.text());
    }
}

#[test]
fn only_operations_for_admins_document_that_they_are_forbidden_for_users() {
    let documented = operations(|operation| operation.may_forbid);
    let wrong: Vec<_> = documented.iter().filter(|operation| !operation.for_admins()).collect();
    assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|operation| &operation.template).collect::<Vec<_>>());
}

#[tokio::test]
async fn things_of_another_user_are_not_found() {
    let app = App::start();
    let (owner, other) = (app.user().await, app.user().await);
    let alert = json!({"coin": "btc", "metric": "price", "direction": "above", "threshold": 75_000});
    let alert = owner.post("/api/v1/user/alerts", &alert).await.assert(201).json();
    let mut keys = Vec::new();
    for name in ["used", "revoked"] {
        let key = json!({"name": name, "scopes": ["coins:read"]});
        keys.push(owner.post("/api/v1/user/api-keys", &key).await.assert(201).json());
    }
    app.login(&owner.email).await;
    let sessions = owner.get("/api/v1/auth/sessions").await.assert(200).json();
    let sessions = sessions["data"].as_array().unwrap();
    let session = sessions.iter().find(|session| session["current"] == false).unwrap();
    let owned = [
        ("/api/v1/user/alerts/{id}", alert["id"].as_str().unwrap()),
        ("/api/v1/auth/sessions/{id}", session["id"].as_str().unwrap()),
        ("/api/v1/user/api-keys/{id}/usage", keys[0]["id"].as_str().unwrap()),
        ("/api/v1/user/api-keys/{id}", keys[1]["id"].as_str().unwrap()),
    ];
    let with_id = operations(|operation| {
        operation.template.contains("{id}") && !operation.for_admins() && !operation.is_open_to_others()
    });
    for operation in &with_id {
        let found = owned.iter().find(|(template, _)| *template == operation.template);
        let (_, id) = found.unwrap_or_else(|| panic!("say what a user owns at {}", operation.template));
        call(&other, operation).await.assert_problem(404, "not-found");
        call_with_id(&other, operation, id).await.assert_problem(404, "not-found");
        let own = call_with_id(&owner, operation, id).await;
        assert!(own.status.is_success(), "{} answers its owner {}", operation.template, own.status);
    }
    assert_eq!(with_id.len(), owned.len(), "each id was tried once");
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
