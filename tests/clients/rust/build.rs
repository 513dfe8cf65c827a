//! Generates the client from the OpenAPI 3.0 document.

use std::{env, fs, path::Path};

use openapiv3::OpenAPI;
use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::Value;

const DOCUMENT: &str = "../../../openapi/openapi-3.0.json";
/// What progenitor 0.15 does not support: two types of success or error in one operation, and request bodies other than
/// JSON, forms and `application/octet-stream`.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("/api/v1/auth/register", "post"),
    ("/api/v1/user/avatar", "put"),
    ("/api/v1/user/portfolio/import", "post"),
    ("/api/v1/users/import", "post"),
    ("/oauth/introspect", "post"),
    ("/oauth/revoke", "post"),
];

fn main() {
    println!("cargo:rerun-if-changed={DOCUMENT}");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(DOCUMENT).unwrap()).unwrap();
    for (path, method) in UNSUPPORTED {
        document["paths"][path].as_object_mut().unwrap().remove(method).expect(path);
    }
    let document: OpenAPI = serde_json::from_value(document).unwrap();
    let settings = GenerationSettings::default().with_interface(InterfaceStyle::Builder).clone();
    let tokens = Generator::new(&settings).generate_tokens(&document).unwrap();
    let code = prettyplease::unparse(&syn::parse2(tokens).unwrap());
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("client.rs"), code).unwrap();
}
