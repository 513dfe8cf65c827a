//! The content of a mail, rendered as text and HTML.

use askama::Template;

use super::Mail;

/// The content of a mail, from which the templates make text and HTML.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letter<'a> {
    /// Also the heading.
    pub subject: &'a str,
    /// The name in the greeting. Someone who registers another person's address also chooses this name, so one that
    /// could contain an advertisement is left out.
    pub name: Option<&'a str>,
    /// Paragraphs before the button. The first is also what inboxes show beside the subject.
    pub paragraphs: &'a [&'a str],
    /// Labels and values after the first paragraph, such as when and from where something was done.
    pub details: &'a [(&'a str, String)],
    /// The button.
    pub action: Option<Action<'a>>,
    /// A code to enter instead of opening the link, and how long it is valid.
    pub code: Option<(&'a str, &'a str)>,
    /// Paragraphs at the end, in small type.
    pub notes: &'a [&'a str],
    /// A link of less importance, after the notes.
    pub second: Option<Action<'a>>,
    /// The address to which mail programs post when a person wants no more of these mails (RFC 8058).
    pub unsubscribe: Option<&'a str>,
}

/// A button with a link.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    pub label: &'a str,
    pub link: &'a str,
}

#[derive(Template)]
#[template(path = "mail/templates/letter.html")]
struct Html<'a> {
    letter: &'a Letter<'a>,
    greeting: Option<&'a str>,
    product: &'a str,
}

#[derive(Template)]
#[template(path = "mail/templates/letter.txt")]
struct Text<'a> {
    letter: &'a Letter<'a>,
    greeting: Option<&'a str>,
    product: &'a str,
}

impl Letter<'_> {
    /// Renders the mail with the name of the product as its signature.
    pub fn render(&self, product: &str) -> Mail {
        let greeting = self.name.filter(|name| is_harmless_name(name));
        let letter = self;
        let rendered = "writing to memory";
        Mail {
            subject: self.subject.to_owned(),
            text: Text { letter, greeting, product }.render().expect(rendered),
            html: Html { letter, greeting, product }.render().expect(rendered),
            link: self.action.map(|action| action.link.to_owned()),
            code: self.code.map(|(code, _)| code.to_owned()),
            unsubscribe: self.unsubscribe.map(str::to_owned),
        }
    }
}

/// Whether a name has only letters, spaces, hyphens and apostrophes, of which mail programs make no link.
fn is_harmless_name(name: &str) -> bool {
    let joins = |c: char| matches!(c, ' ' | '-' | '\'' | '’');
    name.chars().count() <= 50 && name.chars().all(|c| c.is_alphabetic() || joins(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[(&str, String)] = &[];
    const CODE: Letter = Letter {
        subject: "Confirm <b>",
        name: Some("Zoë O'Neil-Ada"),
        paragraphs: &["Someone wrote <script>alert(1)</script> & more.", "A second one."],
        details: EMPTY,
        action: Some(Action { label: "Confirm", link: "https://app.example.com/confirm#token=a&b" }),
        code: Some(("123456", "10 minutes")),
        notes: &["Not you? Then do nothing."],
        second: Some(Action { label: "Reset the password", link: "https://app.example.com/reset-password" }),
        unsubscribe: None,
    };

    /// The texts between the tags that a person sees.
    fn visible(html: &str) -> Vec<String> {
        let (_, body) = html.split_once("<body").expect("a body");
        let (_, shown) = body.split_once("</div>").expect("the preview");
        let texts = shown.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text.trim());
        let unescape = |text: &str| {
            let entities = [("&#38;", "&"), ("&#60;", "<"), ("&#62;", ">"), ("&#39;", "'"), ("&#34;", "\"")];
            entities.iter().rev().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c))
        };
        texts.filter(|text| !text.is_empty()).map(unescape).collect()
    }

    #[test]
    fn everything_that_the_html_shows_is_in_the_text_too() {
        let details = [("When", "22 November 2026, 12:00 UTC".to_owned()), ("Device", "Firefox".to_owned())];
        let mail = Letter { details: &details, ..CODE }.render("Acme & Co");
        let texts = visible(&mail.html);
        for (label, value) in &details {
            assert!(
                mail.text.contains(&format!("{label}: {value}\n")),
                "{label} is missing in: {}",
                mail.text
            );
        }
        for text in &texts {
            let text = text.trim_end_matches(':');
            let help = text.starts_with("If the button does not work");
            assert!(
                help || text == mail.subject || mail.text.contains(text),
                "{text:?} is missing: {}",
                mail.text
            );
        }
        for needed in ["Zoë", "Confirm", "123456", "10 minutes", "Firefox", "reset-password", "Acme & Co"] {
            assert!(texts.iter().any(|text| text.contains(needed)), "{needed} is missing in: {texts:?}");
        }
    }

    #[test]
    fn a_mail_has_a_heading_and_a_preview_and_buttons_of_table_cells() {
        let html = CODE.render("X").html;
        assert_eq!(html.matches("<h1").count(), 1);
        assert!(html.contains(">Confirm &#60;b&#62;</h1>"), "{html}");
        let preview = html.split_once("<div style=\"display:none").expect("a preview").1;
        let (preview, _) = preview.split_once("</div>").expect("its end");
        assert!(preview.contains("Someone wrote") && !preview.contains("123456"), "{preview}");
        let button = "<td align=\"center\" bgcolor=\"#1f5fd0\"";
        assert!(html.contains(button) && html.contains("<td class=\"code\""), "{html}");
    }

    #[test]
    fn values_are_escaped_in_html() {
        let details = [("When", "<i>now</i>".to_owned())];
        let html = Letter { details: &details, ..CODE }.render("Acme & Co").html;
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;alert"), "{html}");
        assert!(html.contains("token=a&#38;b") && html.contains("Acme &#38; Co"), "{html}");
        assert!(!html.contains("<i>"), "{html}");
    }

    #[test]
    fn button_and_code_are_optional() {
        let mail = Letter { subject: "Hello", paragraphs: &["Only this."], ..Letter::default() }.render("X");
        assert_eq!(mail.text, "Hello,\n\nOnly this.\n\n-- \nX");
        assert!(!mail.html.contains("href"));
        assert_eq!((mail.link, mail.code), (None, None));
        let details = [("When", "now".to_owned()), ("Where", "here".to_owned())];
        let letter = Letter { paragraphs: &["Done.", "Fine."], details: &details, ..Letter::default() };
        let text = letter.render("X").text;
        assert_eq!(text, "Hello,\n\nDone.\n\nWhen: now\nWhere: here\n\nFine.\n\n-- \nX");
    }

    #[test]
    fn names_that_could_be_advertisements_are_left_out() {
        for name in
            ["You won at evil.example", "http://evil.example", "Ada\r\nBcc: x", "☎ 0900 1", &"a".repeat(51)]
        {
            let letter = Letter { name: Some(name), ..CODE };
            assert!(!letter.render("X").text.contains(name), "{name}");
        }
    }
}
