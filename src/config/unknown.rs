//! Finds variables that look like a setting and are none: a mistyped name would otherwise be ignored.

/// Beginnings that no other program uses, or hardly any in the environment of a server.
const FAMILIES: [&str; 16] = [
    "BCRYPT_",
    "BLUESKY_",
    "COINGECKO_",
    "COINMARKETCAP_",
    "COINPAPRIKA_",
    "COINS_",
    "CORS_",
    "JWT_",
    "MAIL_",
    "MASTODON_",
    "METRICS_",
    "RATE_LIMIT_",
    "REFRESH_",
    "S3_",
    "SOCIAL_",
    "TRUSTED_",
];
/// What other programs call a setting.
const ALIASES: [(&str, &str); 12] = [
    ("APP_URI", "APP_URL"),
    ("BASE_URL", "PUBLIC_URL"),
    ("DB_URL", "DATABASE_URL"),
    ("HTTP_PORT", "BIND"),
    ("PORT", "BIND"),
    ("SMTP_FROM", "MAIL_FROM"),
    ("SMTP_HOST", "MAIL_SERVER"),
    ("SMTP_PASSWORD", "MAIL_PASSWORD"),
    ("SMTP_PORT", "MAIL_PORT"),
    ("SMTP_SERVER", "MAIL_SERVER"),
    ("SMTP_USER", "MAIL_USERNAME"),
    ("SMTP_USERNAME", "MAIL_USERNAME"),
];
/// Not compared if longer.
const MAX_LENGTH: usize = 64;

/// One sentence for each of the variables that resembles a setting. Values are neither read nor printed.
pub(super) fn warnings<'a>(variables: impl Iterator<Item = &'a str>, known: &[&str]) -> Vec<String> {
    let unknown = variables.filter(|name| !known.contains(name) && name.len() <= MAX_LENGTH);
    let mut warnings: Vec<_> = unknown.filter_map(|name| warning(name, known)).collect();
    warnings.sort_unstable();
    warnings.dedup();
    warnings
}

fn warning(name: &str, known: &[&str]) -> Option<String> {
    let capitals = name.to_ascii_uppercase();
    let plain = capitals.strip_prefix("MINTAGE_").unwrap_or(&capitals);
    if let Some((_, setting)) = ALIASES.iter().find(|(alias, _)| plain == *alias) {
        return Some(format!("{name} is not a setting and is ignored: did you mean {setting}?"));
    }
    let nearest = known.iter().map(|setting| (strsim::osa_distance(plain, setting), *setting)).min()?.1;
    if is_typo(plain, nearest) {
        return Some(format!("{name} is not a setting and is ignored: did you mean {nearest}?"));
    }
    let family = FAMILIES.iter().find(|family| name.starts_with(**family))?;
    Some(format!("{name} is not a setting and is ignored: .env.example lists those that begin with {family}"))
}

/// Whether a name may be a mistyped setting: one letter too many, too few, exchanged or swapped, in a long name two. A
/// letter that is exchanged in a short name rather makes another word, such as `API_URL` of `APP_URL`.
fn is_typo(name: &str, setting: &str) -> bool {
    let distance = strsim::osa_distance(name, setting);
    match setting.len() {
        _ if distance == 0 => true,
        ..4 => false,
        4..8 => {
            distance == 1
                && name.len() >= 4
                && (name.len() != setting.len() || letters(name) == letters(setting))
        }
        8..12 => distance == 1,
        _ => distance <= 2,
    }
}

fn letters(name: &str) -> Vec<u8> {
    let mut letters = name.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 9] = [
        "APP_URL",
        "BIND",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "LOG_LEVEL",
        "MAIL_SERVER",
        "PUBLIC_URL",
        "WORKERS",
        "X_URL",
    ];

    fn about(name: &str) -> String {
        warnings([name].into_iter(), &KNOWN).concat()
    }

    #[test]
    fn a_mistyped_setting_is_named_with_the_one_it_resembles() {
        for (name, setting) in [
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("MINTAGE_DATABASE_URL", "DATABASE_URL"),
            ("CORS_ORIGIN", "CORS_ORIGINS"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("PUBILC_URL", "PUBLIC_URL"),
            ("WORKER", "WORKERS"),
            ("BNID", "BIND"),
            ("DB_URL", "DATABASE_URL"),
            ("HTTP_PORT", "BIND"),
            ("SMTP_HOST", "MAIL_SERVER"),
        ] {
            let warning = about(name);
            assert_eq!(warning, format!("{name} is not a setting and is ignored: did you mean {setting}?"));
        }
        for (name, family) in
            [("MAIL_HOST", "MAIL_"), ("TRUSTED_PROXY", "TRUSTED_"), ("METRICS_PORT", "METRICS_")]
        {
            assert!(
                about(name).ends_with(&format!(".env.example lists those that begin with {family}")),
                "{name}"
            );
        }
    }

    #[test]
    fn variables_of_other_programs_are_left_alone() {
        for name in [
            "PATH",
            "HOME",
            "MAIL",
            "KIND",
            "BIN",
            "API_URL",
            "TERM",
            "LANG",
            "USER",
            "PGHOST",
            "POSTGRES_PASSWORD",
            "RUST_LOG",
            "XDG_DATA_DIRS",
            "MINTAGE_COMMAND",
            "KUBERNETES_PORT",
            "HOSTNAME",
            "AWS_REGION",
            "",
        ] {
            assert_eq!(about(name), "", "{name}");
        }
        assert_eq!(about(&"DATABASE_URLS".repeat(10)), "");
        assert_eq!(warnings(KNOWN.into_iter(), &KNOWN), [""; 0]);
    }
}
