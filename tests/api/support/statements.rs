//! Counts the statements of the servers in this process, by database.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

thread_local! {
    /// The URL of the connection that this thread has opened last.
    static URL: RefCell<String> = const { RefCell::new(String::new()) };
}

/// By database, then by the text of the statement without its values.
static COUNTS: Mutex<Option<HashMap<String, HashMap<String, usize>>>> = Mutex::new(None);

struct Counter {
    url: String,
}

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                url.clone_into(&mut self.url);
                URL.set(url.to_owned());
            }
            InstrumentationEvent::FinishQuery { query, .. } => {
                let mut text = query.to_string();
                text.truncate(text.find(" -- binds").unwrap_or(text.len()));
                let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
                let of_database = counts.get_or_insert_default().entry(database_of(&self.url)).or_default();
                *of_database.entry(text).or_default() += 1;
            }
            _ => {}
        }
    }
}

/// Begins to count, for connections opened from now on. The pool makes another counter when it has opened a connection.
pub fn count() {
    set_default_instrumentation(|| Some(Box::new(Counter { url: URL.with_borrow(String::clone) })))
        .expect("set once");
}

/// Statements that have ended so far, with success or not, on the database of this URL, and whose text contains `part`.
pub fn on(url: &str, part: &str) -> usize {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let of_database = counts.as_ref().and_then(|counts| counts.get(&database_of(url)));
    let matching = of_database.into_iter().flatten().filter(|(text, _)| text.contains(part));
    matching.map(|(_, count)| count).sum()
}

fn database_of(url: &str) -> String {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
