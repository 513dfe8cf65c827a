//! The commands that need no database: `healthcheck`, `openapi`, `completions`, `man`.

use std::fs;

use crate::support::{
    Database,
    binary::{Server, directory, fail, mintage, succeed},
};

#[tokio::test]
async fn healthcheck_succeeds_only_while_the_server_runs() {
    let database = Database::create();
    let home = directory();
    let url = database.url();
    let server = Server::start(home.path(), &[("DATABASE_URL", url.expose())]);
    let bind = server.base.strip_prefix("http://").unwrap().to_owned();
    succeed(mintage(home.path(), &[("BIND", &bind)]).arg("healthcheck"));
    drop(server);
    fail(mintage(home.path(), &[("BIND", &bind)]).arg("healthcheck"));
}

#[test]
fn the_document_is_printed_without_any_setting() {
    let home = directory();
    let print = |version: &str| {
        let mut command = mintage(home.path(), &[("BIND", "nowhere")]);
        succeed(command.args(["openapi", "--version", version]))
    };
    let committed = include_str!("../../../openapi/openapi.json");
    assert!(print("3.1") == committed, "run `cargo run -- openapi > openapi/openapi.json`");
    assert!(succeed(mintage(home.path(), &[]).arg("openapi")) == committed, "3.1 is the default");
    let older = include_str!("../../../openapi/openapi-3.0.json");
    assert!(print("3.0") == older, "run `cargo run -- openapi --version 3.0 > openapi/openapi-3.0.json`");
}

#[test]
fn completions_and_manual_pages_are_made_without_any_setting() {
    let home = directory();
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(mintage(home.path(), &[("BIND", "nowhere")]).args(["completions", shell]));
        for word in ["create-admin", "check-config", "rollback"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
    succeed(mintage(home.path(), &[("BIND", "nowhere")]).args(["man", "."]));
    let page = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    assert!(page("mintage.1").contains("rollback"));
    assert!(page("mintage-rollback.1").contains("what is lost"));
    let error = fail(mintage(home.path(), &[]).args(["man", "nowhere"]));
    assert!(error.contains("cannot write the manual pages into nowhere"), "{error}");
}
