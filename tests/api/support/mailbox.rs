//! The mails that a server wrote with `MAIL_TRANSPORT=file`, parsed.

use std::{collections::HashSet, fs, path::PathBuf, sync::Mutex};

use mail_parser::{Message, MessageParser};
use tempfile::TempDir;

use super::eventually;

/// A directory of mails, each of which is read once.
pub struct Mailbox {
    directory: TempDir,
    read: Mutex<HashSet<PathBuf>>,
}

/// What a person sees.
#[derive(Clone, Debug)]
pub struct ParsedMail {
    pub to: String,
    pub from: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub message_id: String,
    /// The address in `List-Unsubscribe`; empty without the header.
    pub unsubscribe: String,
}

impl Mailbox {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("directory"), read: Mutex::default() }
    }

    pub fn directory(&self) -> String {
        self.directory.path().to_str().expect("text").to_owned()
    }

    /// In the order in which they were enqueued.
    pub fn unread(&self, address: &str) -> Vec<ParsedMail> {
        self.find(address, usize::MAX)
    }

    pub async fn next(&self, address: &str) -> ParsedMail {
        let mut found = None;
        eventually(&format!("a mail to {address}"), async || {
            found = self.find(address, 1).pop();
            found.is_some()
        })
        .await;
        found.expect("just seen")
    }

    fn find(&self, address: &str, limit: usize) -> Vec<ParsedMail> {
        let entries = fs::read_dir(self.directory.path()).expect("directory");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
        // Their names are UUIDv7, so this is the order in time.
        paths.sort();
        let mut read = self.read.lock().expect("lock");
        let mails = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "eml"));
        let unread = mails.filter(|path| !read.contains(path)).collect::<Vec<_>>();
        let parsed = unread
            .into_iter()
            .map(|path| (ParsedMail::parse(&fs::read(&path).expect("mail")), path))
            .filter(|(mail, _)| mail.to == address);
        parsed
            .take(limit)
            .map(|(mail, path)| {
                read.insert(path);
                mail
            })
            .collect()
    }
}

impl ParsedMail {
    #[track_caller]
    pub fn parse(bytes: &[u8]) -> Self {
        let message = MessageParser::default().parse(bytes).expect("a mail");
        let address = |header: Option<&mail_parser::Address>| {
            let first = header.and_then(|header| header.first()).expect("an address");
            first.address().expect("an address").to_owned()
        };
        let mail = Self {
            to: address(message.to()),
            from: address(message.from()),
            subject: message.subject().expect("a subject").to_owned(),
            text: body(&message, "text").replace("\r\n", "\n"),
            html: body(&message, "html"),
            message_id: message.message_id().expect("a message id").to_owned(),
            unsubscribe: message
                .header_raw("List-Unsubscribe")
                .unwrap_or_default()
                .trim()
                .trim_matches(['<', '>'])
                .to_owned(),
        };
        mail.assert_form();
        mail
    }

    /// Holds every mail that a test reads against the rules: a heading, a preview, all that the HTML shows is in the text
    /// too, and no word on a link that it does not have.
    #[track_caller]
    fn assert_form(&self) {
        let entities = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
        let plain = |html: &str| {
            entities.iter().fold(html.trim().to_owned(), |text, (entity, c)| text.replace(entity, c))
        };
        let between = |from: &str, to: &str| {
            let (_, rest) =
                self.html.split_once(from).unwrap_or_else(|| panic!("no {from} in {}", self.html));
            rest.split_once(to).expect("an end").0.split_once('>').expect("a tag").1.to_owned()
        };
        assert_eq!(plain(&between("<h1", "</h1>")), self.subject, "the heading is the subject");
        let preview = plain(&between("<div style=\"display:none", "&#847;"));
        assert!(preview.len() > 20 && self.text.contains(&preview), "the preview is {preview:?}");
        let (_, shown) = self.html.split_once("<h1").expect("a heading");
        for text in shown.split('<').skip(1).filter_map(|part| part.split_once('>')) {
            let text = plain(text.1);
            let text = text.trim_end_matches(':');
            let is_shown = self.text.contains(text) || text.starts_with("If the button does not work");
            assert!(is_shown, "{text:?} is in the HTML only: {}", self.text);
        }
        let has_link = self.text.contains("#token=") || !self.text.contains("The link works");
        assert!(has_link, "there is no link: {}", self.text);
    }

    /// The link in the text, which is the one of the button.
    #[track_caller]
    pub fn link(&self) -> String {
        let mut words = self.text.split_whitespace();
        let link = words.find(|word| word.starts_with("http")).expect("a link in the text").to_owned();
        let escaped = link.replace('&', "&#38;");
        assert!(self.html.contains(&format!("href=\"{escaped}\"")), "the button leads elsewhere");
        link
    }

    /// What the link has after `#token=`.
    #[track_caller]
    pub fn token(&self) -> String {
        let link = self.link();
        link.split_once("#token=").expect("a link with a token").1.to_owned()
    }

    /// The code to type, which stands on a line of its own.
    #[track_caller]
    pub fn code(&self) -> String {
        let is_code = |line: &&str| match line.len() {
            6 => line.bytes().all(|byte| byte.is_ascii_digit()),
            8 => line.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()),
            _ => false,
        };
        let code = self.text.lines().map(str::trim).find(is_code).expect("a code in the text");
        assert!(self.html.contains(code), "the code is missing in the HTML");
        code.to_owned()
    }
}

fn body(message: &Message, kind: &str) -> String {
    let body = if kind == "html" { message.body_html(0) } else { message.body_text(0) };
    body.expect("a body").into_owned()
}
