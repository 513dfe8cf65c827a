//! Rebuilds when a migration is added: `embed_migrations!` reads the directory, but cargo does not see that.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
