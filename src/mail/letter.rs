//! The content of a mail, rendered as text and HTML.

use askama::Template;

use super::Mail;

/// The content of a mail, from which the templates make text and HTML.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letter<'a> {
    pub subject: &'a str,
    /// The name in the greeting. Someone who registers another person's address also chooses this name, so one that
    /// could contain an advertisement is left out.
    pub name: Option<&'a str>,
    /// Paragraphs before the button.
    pub paragraphs: &'a [&'a str],
    /// The button.
    pub action: Option<Action<'a>>,
    /// A code to enter instead of opening the link, and how long it is valid.
    pub code: Option<(&'a str, &'a str)>,
    /// Paragraphs at the end, in small type.
    pub notes: &'a [&'a str],
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

    const CODE: Letter = Letter {
        subject: "Confirm <b>",
        name: Some("Zoë O'Neil-Ada"),
        paragraphs: &["Someone wrote <script>alert(1)</script> & more."],
        action: Some(Action { label: "Confirm", link: "https://app.example.com/confirm#token=a&b" }),
        code: Some(("123456", "10 minutes")),
        notes: &["Not you? Then do nothing."],
    };

    #[test]
    fn text_and_html_have_the_same_content() {
        let mail = CODE.render("Acme & Co");
        let link = "https://app.example.com/confirm#token=a";
        for part in ["Zoë", "Confirm", "123456", "10 minutes", "Not you? Then do nothing.", link] {
            assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
            assert!(mail.html.contains(part), "{part} is missing in: {}", mail.html);
        }
        assert!(mail.text.contains("<script>alert(1)</script> & more.") && mail.text.contains("Acme & Co"));
    }

    #[test]
    fn values_are_escaped_in_html() {
        let html = CODE.render("Acme & Co").html;
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;alert"), "{html}");
        assert!(html.contains("token=a&#38;b") && html.contains("Acme &#38; Co"), "{html}");
    }

    #[test]
    fn button_and_code_are_optional() {
        let mail = Letter { subject: "Hello", paragraphs: &["Only this."], ..Letter::default() }.render("X");
        assert_eq!(mail.text, "Hello,\n\nOnly this.\n\n-- \nX");
        assert!(!mail.html.contains("href"));
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
