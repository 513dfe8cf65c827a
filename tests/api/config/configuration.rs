//! What an operator may set, what production refuses or warns about, and that no secret is printed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::binary::{directory, fail, mintage, run, stderr, stdout, succeed};

/// From `openssl rand -hex 32`.
const KEY: &str = "8d1f6f0ab6a5ce2d9f60a73f25dbd1f9c0f4e86b71a6c1d3c2a95f0be47c6a18";
const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://mintage:pw@127.0.0.1/mintage");

/// `check-config` in production, with these settings beside the required ones.
fn in_production(home: &Path, settings: &[(&str, &str)]) -> Output {
    let required = [
        ("PROFILE", "production"),
        ("SECRET_KEY", KEY),
        ("PUBLIC_URL", "https://api.example.com"),
        ("REQUIRE_CONFIRMATION", "on"),
        ("MAIL_TRANSPORT", "file"),
        ("RATE_LIMITS", "on"),
        ("BCRYPT_COST", "12"),
        DATABASE,
    ];
    run(mintage(home, &required).envs(settings.iter().copied()).arg("check-config"))
}

#[track_caller]
fn assert_refused(output: &Output, name: &str) -> String {
    let error = stderr(output);
    assert!(!output.status.success(), "{name} is accepted");
    let lines: Vec<_> = error.lines().filter(|line| line.starts_with("  - ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(name), "{error}");
    error
}

/// The messages of warnings, which production logs as JSON.
fn warnings(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", stderr(output));
    let lines = stderr(output);
    let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let entries = entries.filter(|entry| entry["level"] == "WARN");
    entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn production_takes_generated_keys_and_refuses_readable_ones() {
    let home = directory();
    let check = |key| in_production(home.path(), &[("SECRET_KEY", key)]);
    for generated in [KEY, "J3eIMJg5f5j4W/ckfbWdP+cjFQD3WxthjlzEa4Q/+2o="] {
        let output = check(generated);
        assert!(warnings(&output).is_empty(), "{}", stderr(&output));
    }
    for readable in [
        "change-me-change-me-change-me-please",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "your-256-bit-secret-your-256-bit-secret",
    ] {
        let error = assert_refused(&check(readable), "SECRET_KEY");
        assert!(error.contains("openssl rand") && !error.contains(readable), "{error}");
    }
}

#[test]
fn a_readable_key_is_accepted_only_as_the_previous_key() {
    let home = directory();
    let weak = "0123456789abcdefghijklmnopqrstuvwxyz";
    let output = in_production(home.path(), &[("SECRET_KEY", &format!("{KEY},{weak}"))]);
    let warned = warnings(&output);
    assert!(warned.len() == 1 && warned[0].contains("SECRET_KEY"), "{warned:?}");
    assert_refused(&in_production(home.path(), &[("SECRET_KEY", &format!("{weak},{KEY}"))]), "SECRET_KEY");
}

#[test]
fn production_wants_https_except_on_this_machine() {
    let home = directory();
    for name in ["PUBLIC_URL", "APP_URL"] {
        for far in ["http://api.example.com", "http://127.0.0.1.example.com", "http://localhost.example.com"]
        {
            assert_refused(&in_production(home.path(), &[(name, far)]), name);
        }
        for near in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            let output = in_production(home.path(), &[(name, near)]);
            assert!(output.status.success(), "{name}={near}: {}", stderr(&output));
        }
    }
    succeed(mintage(home.path(), &[("PUBLIC_URL", "http://api.example.com")]).arg("check-config"));
}

#[test]
fn to_trust_every_address_as_a_proxy_is_refused_everywhere() {
    let home = directory();
    for all in ["0.0.0.0/0", "10.0.0.0/8,::/0", "0.0.0.0/1,128.0.0.0/1"] {
        let error =
            assert_refused(&in_production(home.path(), &[("TRUSTED_PROXIES", all)]), "TRUSTED_PROXIES");
        assert!(error.contains("forge"), "it says why: {error}");
        fail(mintage(home.path(), &[("TRUSTED_PROXIES", all)]).arg("check-config"));
    }
    let output = in_production(home.path(), &[("TRUSTED_PROXIES", "172.16.0.0/12,fd00::/8")]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn production_warns_once_about_each_risky_setting() {
    let home = directory();
    assert!(warnings(&in_production(home.path(), &[])).is_empty());
    let mail = [("MAIL_FROM", "no-reply@example.com"), ("MAIL_TRANSPORT", "smtp")];
    let remote = |mode| format!("postgresql://mintage:pw@db.example.com:5432/mintage{mode}");
    let modes = ["", "?sslmode=disable", "?sslmode=allow", "?connect_timeout=3&sslmode=prefer"].map(remote);
    let mut risky = vec![
        ("RATE_LIMITS", vec![("RATE_LIMITS", "off")]),
        ("CORS_ORIGINS", vec![("CORS_ORIGINS", "*")]),
        (
            "MAIL_SECURITY",
            vec![("MAIL_SERVER", "mail.example.com"), ("MAIL_SECURITY", "none"), mail[0], mail[1]],
        ),
        ("REQUIRE_CONFIRMATION", vec![("REQUIRE_CONFIRMATION", "off")]),
    ];
    risky.extend(modes.iter().map(|url| ("DATABASE_URL", vec![("DATABASE_URL", url.as_str())])));
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (name, settings) in &risky {
        let warned = warnings(&in_production(home.path(), settings));
        assert!(warned.len() == 1 && warned[0].contains(name), "{settings:?}: {warned:?}");
        all.extend(settings);
    }
    assert_eq!(warnings(&in_production(home.path(), &all)).len(), 5);
    assert!(stderr(&run(mintage(home.path(), &all[..2]).arg("check-config"))).is_empty());

    let modes = ["?sslmode=require", "?sslmode=verify-full"].map(remote);
    let safe = [
        vec![("DATABASE_URL", modes[0].as_str())],
        vec![("DATABASE_URL", modes[1].as_str())],
        vec![("DATABASE_URL", "postgresql:///mintage?host=/run/postgresql")],
        vec![("DATABASE_URL", "postgresql://localhost,[::1]:5433/mintage")],
        vec![("MAIL_SERVER", "127.0.0.1"), ("MAIL_SECURITY", "none"), mail[0], mail[1]],
    ];
    for settings in &safe {
        let warned = warnings(&in_production(home.path(), settings));
        assert!(warned.is_empty(), "{settings:?}: {warned:?}");
    }
}

#[test]
fn check_config_lists_the_settings_in_the_order_of_env_example_and_its_results_last() {
    let home = directory();
    let settings = [("SECRET_KEY", KEY), ("STORAGE_URL", "pictures")];
    let shown = succeed(mintage(home.path(), &settings).args(["check-config", "--storage"]));
    let (listed, results) = shown.split_once("\n\n").expect("an empty line");
    let example = include_str!("../../../.env.example");
    let is_setting = |name: &&str| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    let names = |text: &str, begin: &str| -> Vec<String> {
        let names = text.lines().filter_map(|line| Some(line.strip_prefix(begin)?.split_once('=')?.0));
        names.filter(is_setting).filter(|name| *name == name.to_uppercase()).map(str::to_owned).collect()
    };
    assert_eq!(names(listed, ""), names(example, "# "));
    assert!(listed.contains("\nSECRET_KEY=[secret]  # environment\n"), "{listed}");
    assert!(listed.contains("\nDATABASE_URL=  # default: the embedded database\n"), "{listed}");
    assert_eq!(results, "the settings are valid\nthe storage accepts, returns and deletes files\n");
    // It can be used as `.env`.
    write_dotenv(home.path(), &listed.replace("[secret]", KEY), 0o600);
    succeed(mintage(home.path(), &[]).arg("check-config"));
    fs::remove_file(home.path().join(".env")).unwrap();
    fs::remove_dir_all(home.path().join("pictures")).unwrap();
    fs::write(home.path().join("pictures"), "in the way").unwrap();
    let error = fail(mintage(home.path(), &settings).args(["check-config", "--storage"]));
    assert!(error.contains("the storage accepts no file"), "{error}");
}

#[test]
fn check_config_prints_json_for_programs() {
    let (home, key) = (directory(), ("SECRET_KEY", KEY));
    fs::write(home.path().join(".env"), "COINS_COUNT=7\nCORS_ORIGIN=canary\n").unwrap();
    let shown = succeed(mintage(home.path(), &[key]).args(["check-config", "--json"]));
    let report: Value = serde_json::from_str(&shown).unwrap();
    let setting = |name: &str| {
        let settings = report["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["name"] == name).unwrap().clone()
    };
    let expected = json!({"name": "COINS_COUNT", "value": "7", "source": ".env", "secret": false});
    assert_eq!(setting("COINS_COUNT"), expected);
    let expected =
        json!({"name": "SECRET_KEY", "value": "[secret]", "source": "environment", "secret": true});
    assert_eq!(setting("SECRET_KEY"), expected);
    assert_eq!(setting("DATABASE_URL")["value"], Value::Null);
    assert_eq!(report["passed"], json!(["settings"]));
    let warning = "CORS_ORIGIN is not a setting and is ignored: did you mean CORS_ORIGINS?";
    assert_eq!(report["warnings"], json!([warning]));
    assert!(!shown.contains("canary") && !shown.contains(KEY));
}

#[test]
fn check_config_prints_its_json_also_when_a_check_fails() {
    let home = directory();
    let storage = home.path().join("pictures");
    fs::write(&storage, "in the way").unwrap();
    let settings = [("STORAGE_URL", storage.to_str().unwrap()), ("MAIL_TRANSPORT", "log")];
    for (arguments, passed, name, error) in [
        (&["--storage"] as &[&str], json!(["settings"]), "storage", "the storage accepts no file"),
        (&["--database", "--storage"], json!(["settings"]), "database", "there is no embedded database"),
        (&["--smtp"], json!(["settings"]), "smtp", "MAIL_SERVER"),
    ] {
        let mut command = mintage(home.path(), &settings);
        let output = run(command.args(["check-config", "--json"]).args(arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&report["passed"], &report["failed"]["name"]), (&passed, &json!(name)));
        let said = report["failed"]["errors"][0].as_str().unwrap();
        assert!(said.contains(error) && stderr(&output).contains(said), "{said:?} {}", stderr(&output));
        assert!(report["settings"].as_array().unwrap().len() > 50);
    }
    // The next one is checked only if the former passed, and without a failure there is none.
    fs::remove_file(&storage).unwrap();
    let report = succeed(mintage(home.path(), &settings).args(["check-config", "--json", "--storage"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&json!(["settings", "storage"]), &Value::Null));
}

#[test]
fn a_variable_that_resembles_a_setting_is_named_without_its_value() {
    let home = directory();
    let settings = [("DATABSE_URL", "postgres://ada:canary@db/mintage"), ("MAIL_HOST", "canary")];
    let output = run(mintage(home.path(), &settings).arg("check-config"));
    let warned = stderr(&output);
    assert!(output.status.success(), "{warned}");
    assert!(
        warned.contains("DATABSE_URL is not a setting and is ignored: did you mean DATABASE_URL?"),
        "{warned}"
    );
    assert!(warned.contains("MAIL_HOST is not a setting"), "{warned}");
    assert!(!warned.contains("canary") && !stdout(&output).contains("canary"), "{warned}");
}

#[test]
fn a_required_setting_that_is_mistyped_is_named_among_the_errors() {
    let home = directory();
    let settings = [("PROFILE", "production"), ("DATABSE_URL", "canary"), ("SECRETKEY", "canary")];
    let hints = ["DATABSE_URL is not a setting", "SECRETKEY is not a setting"];
    for command in [&["serve"] as &[&str], &["check-config"], &["check-config", "--json"]] {
        let output = run(mintage(home.path(), &settings).args(command));
        let said = stderr(&output);
        assert!(!output.status.success() && hints.iter().all(|hint| said.contains(hint)), "{said}");
        assert!(!said.contains("canary"), "{said}");
        if command.contains(&"--json") {
            let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
            assert_eq!((&report["passed"], &report["failed"]["name"]), (&json!([]), &json!("settings")));
            let errors = report["failed"]["errors"].as_array().unwrap();
            let is_named =
                |hint: &&str| errors.iter().any(|error| error.as_str().unwrap().starts_with(*hint));
            assert!(errors.len() > 2 && hints.iter().all(is_named), "{errors:?}");
        }
    }
}

fn write_dotenv(home: &Path, text: &str, mode: u32) {
    let path = home.join(".env");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_dollar_sign_in_a_dotenv_file_is_literal() {
    let home = directory();
    let lines = [
        "# a comment",
        "",
        "JWT_AUDIENCE=s3cr3t$2024pw${HOME} # a comment",
        "export PRODUCT_NAME = 'Mint $age'",
        r#"DATA_DIR="a \"b\" \\ $HOME""#,
        "COINS_COUNT=  7  ",
        "MAIL_DIR=a#b",
    ];
    write_dotenv(home.path(), &lines.join("\n"), 0o600);
    let shown = succeed(mintage(home.path(), &[]).arg("check-config"));
    for part in [
        "JWT_AUDIENCE='s3cr3t$2024pw${HOME}'  # .env",
        "PRODUCT_NAME='Mint $age'  # .env",
        r#"DATA_DIR='a "b" \ $HOME'  # .env"#,
        "COINS_COUNT=7  # .env",
    ] {
        assert!(shown.contains(part), "{part} is missing in: {shown}");
    }
}

#[test]
fn a_broken_line_of_a_dotenv_file_is_named_by_its_number_alone() {
    let home = directory();
    for broken in [
        "SECRET_KEY='canary",
        "SECRET_KEY=\"canary",
        "SECRET_KEY=\"canary\\q\"",
        "SECRET_KEY='a'canary",
        "SECRET_KEY canary",
        "=canary",
        "1CANARY=canary",
        "canary",
        "SECRET_KEY=a canary",
        "export",
    ] {
        write_dotenv(home.path(), &format!("COINS_COUNT=7\n\n{broken}\n"), 0o600);
        let output = run(mintage(home.path(), &[]).arg("check-config"));
        let said = stdout(&output) + &stderr(&output);
        assert!(!output.status.success() && said.contains("line 3"), "{broken}: {said}");
        assert!(!said.to_lowercase().contains("canary"), "{broken}: {said}");
    }
    fs::write(home.path().join(".env"), b"COINS_COUNT=7\nSECRET_KEY=canary\xff\n").unwrap();
    let error = fail(mintage(home.path(), &[]).arg("check-config"));
    assert!(error.contains("line 2") && !error.contains("canary"), "{error}");
}

#[test]
fn a_dotenv_file_that_others_may_change_or_read_is_warned_about() {
    let home = directory();
    let said = |text, mode| {
        write_dotenv(home.path(), text, mode);
        stderr(&run(mintage(home.path(), &[]).arg("check-config")))
    };
    let secret = format!("SECRET_KEY={KEY}\n");
    assert_eq!(said(&secret, 0o600), "");
    assert_eq!(said("COINS_COUNT=7\n", 0o644), "", "nothing in it is secret");
    assert!(said(&secret, 0o644).contains("read"));
    assert!(said(&secret, 0o640).contains("read"));
    assert!(said("COINS_COUNT=7\n", 0o666).contains("change"));
    assert!(said("COINS_COUNT=7\n", 0o660).contains("change"));
    for mode in [0o644, 0o666] {
        let said = said(&secret, mode);
        assert!(said.lines().count() == 1 && said.contains(".env") && !said.contains(KEY), "{said}");
    }
}

#[test]
fn errors_about_a_database_url_hide_its_password() {
    let home = directory();
    for url in [
        "postgres:/mintage:canary@127.0.0.1:1/mintage",
        "postgres://mintage:ca/nary-canary@127.0.0.1:1/mintage",
        "postgres://mintage:100%canary@127.0.0.1:1/mintage",
        "postgres://mintage:p@canary@127.0.0.1:1/mintage",
        "postgres://mintage:p#canary@/canary@127.0.0.1:1/mintage",
        "postgres://mintage@127.0.0.1:canary/mintage",
        "postgres://mintage@127.0.0.1:1/mintage?password=x&canary",
        "postgres://mintage@127.0.0.1:1/mintage?password=a=canary",
        "postgres://mintage@127.0.0.1:1/mintage?canary=x",
        "host=127.0.0.1 port=1 password=two canary",
        "mysql://mintage:canary@127.0.0.1/mintage",
        "mintage:canary@127.0.0.1:1/mintage",
        "postgres://mintage:canary@127.0.0.1:1/mintage",
    ] {
        let settings = [("DATABASE_URL", url), ("DATABASE_CONNECT_WAIT", "0s")];
        let output = run(mintage(home.path(), &settings).args(["check-config", "--database"]));
        let said = stdout(&output) + &stderr(&output);
        assert!(!output.status.success(), "{url}: {said}");
        assert!(!said.contains("canary") && !said.contains("nary"), "{url}: {said}");
    }
}

#[test]
fn bad_settings_are_all_named_and_secrets_are_not() {
    let home = directory();
    let settings = [
        ("BCRYPT_COST", "99"),
        ("BIND", "nowhere"),
        ("SECRET_KEY", "hunter2"),
        ("PROFILE", "production"),
        ("MAIL_TRANSPORT", "log"),
    ];
    let error = fail(mintage(home.path(), &settings).arg("check-config"));
    for name in ["BCRYPT_COST", "BIND", "SECRET_KEY", "DATABASE_URL", "PUBLIC_URL", "MAIL_TRANSPORT"] {
        assert!(error.contains(name), "{name} is missing in: {error}");
    }
    assert!(!error.contains("hunter2"));
    let key = "0123456789abcdefghijklmnopqrstuvwxyz";
    let shown = succeed(mintage(home.path(), &[("SECRET_KEY", key)]).arg("check-config"));
    assert!(shown.contains("the settings are valid") && !shown.contains(key));
}

#[test]
fn settings_are_read_from_a_dotenv_file_and_the_environment_wins() {
    let home = directory();
    fs::write(home.path().join(".env"), "COINS_COUNT=7\nCOINS_CURRENCIES=USD\n").unwrap();
    let shown = succeed(mintage(home.path(), &[("COINS_COUNT", "9")]).arg("check-config"));
    for line in ["COINS_COUNT=9  # environment", "COINS_CURRENCIES=USD  # .env", "HASH_QUEUE=64  # default"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing in: {shown}");
    }
}

#[test]
fn a_dotenv_file_of_another_directory_is_not_read() {
    let home = directory();
    let inner = home.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(home.path().join(".env"), "COINS_COUNT=7\n").unwrap();
    assert!(succeed(mintage(&inner, &[]).arg("check-config")).contains("COINS_COUNT=20  # default"));
    assert!(fail(mintage(&inner, &[("PROFILE", "")]).arg("check-config")).contains("PROFILE"));
}
