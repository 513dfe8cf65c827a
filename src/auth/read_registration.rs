//! Answers `GET /api/v1/auth/registration`: who may register.

use actix_web::{
    get,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Auth;
use crate::config::RegistrationMode;

/// How accounts are made.
#[derive(Serialize, ToSchema)]
pub struct RegistrationRules {
    #[schema(inline)]
    mode: Mode,
    /// Domains of addresses that may register, or that an account may change to; empty for all. `*.example.com` stands for
    /// the sub-domains of example.com, without itself.
    #[schema(example = json!(["example.com", "*.example.org"]))]
    domains: Vec<String>,
    /// Whether the address has to be confirmed before the account exists.
    #[schema(example = true)]
    confirmation: bool,
}

/// `open`: anyone can register. `invitation`: only people whom an admin invites get an account. `closed`: no accounts are
/// made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Open,
    Invitation,
    Closed,
}

/// Read the rules of registration
///
/// Returns who may register and with which addresses, so that a client can hide its form or check an address before it
/// sends it. The rules are settings of the server and say nothing about accounts.
#[utoipa::path(
    tag = "auth",
    security(()),
    responses((status = 200, description = "The rules.", body = RegistrationRules))
)]
#[get("/auth/registration")]
pub async fn read_registration(auth: Data<Auth>) -> Json<RegistrationRules> {
    let settings = &auth.accounts.registration;
    let mode = match settings.mode {
        RegistrationMode::Open => Mode::Open,
        RegistrationMode::Invitation => Mode::Invitation,
        RegistrationMode::Closed => Mode::Closed,
    };
    let domains = settings.domains.iter().map(ToString::to_string).collect();
    Json(RegistrationRules { mode, domains, confirmation: auth.accounts.require_confirmation })
}
