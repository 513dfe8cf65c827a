//! Renders a letter as plain text and HTML.

use askama::Template;

use super::Mail;

/// What a mail says; the templates make text and HTML of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Letter<'a> {
    pub subject: &'a str,
    /// Whom to greet. Whoever registers a stranger's address also chooses this name, so one that
    /// could be an advertisement is left out.
    pub name: Option<&'a str>,
    /// Before the button.
    pub paragraphs: &'a [&'a str],
    /// The one thing to do.
    pub action: Option<Action<'a>>,
    /// To type where the link cannot be opened, and how long it is good for.
    pub code: Option<(&'a str, &'a str)>,
    /// After it, in small type.
    pub notes: &'a [&'a str],
}

/// A button.
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
    /// The mail from the product of that name.
    #[must_use]
    pub fn render(&self, product: &str) -> Mail {
        let greeting = self.name.filter(|name| looks_like_a_name(name));
        let letter = self;
        let rendered = "writing to memory";
        Mail {
            subject: self.subject.to_owned(),
            text: Text { letter, greeting, product }.render().expect(rendered),
            html: Html { letter, greeting, product }.render().expect(rendered),
        }
    }
}

/// Letters, with what joins them in names: nothing that a mail program would make a link of.
fn looks_like_a_name(name: &str) -> bool {
    let joins = |c: char| matches!(c, ' ' | '-' | '\'' | '’');
    name.chars().count() <= 50 && name.chars().all(|c| c.is_alphabetic() || joins(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Letter = Letter {
        subject: "Confirm <b>",
        name: Some("Zoë O'Neil-Ada"),
        paragraphs: &["Somebody wrote <script>alert(1)</script> & more."],
        action: Some(Action { label: "Confirm", link: "https://app.example.com/confirm#token=a&b" }),
        code: Some(("123456", "10 minutes")),
        notes: &["Not you? Then do nothing."],
    };

    #[test]
    fn text_and_html_say_the_same() {
        let mail = CODE.render("Acme & Co");
        let link = "https://app.example.com/confirm#token=a";
        for part in ["Zoë", "Confirm", "123456", "10 minutes", "Not you? Then do nothing.", link] {
            assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
            assert!(mail.html.contains(part), "{part} is missing in: {}", mail.html);
        }
        assert!(mail.text.contains("<script>alert(1)</script> & more.") && mail.text.contains("Acme & Co"));
    }

    #[test]
    fn what_is_filled_in_is_escaped_in_html() {
        let html = CODE.render("Acme & Co").html;
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;alert"), "{html}");
        assert!(html.contains("token=a&#38;b") && html.contains("Acme &#38; Co"), "{html}");
    }

    #[test]
    fn a_letter_without_button_and_code_has_none() {
        let mail = Letter { subject: "Hello", paragraphs: &["Only this."], ..Letter::default() }.render("X");
        assert_eq!(mail.text, "Hello,\n\nOnly this.\n\n-- \nX");
        assert!(!mail.html.contains("href"));
    }

    #[test]
    fn a_name_that_could_be_an_advertisement_is_not_greeted() {
        for name in
            ["You won at evil.example", "http://evil.example", "Ada\r\nBcc: x", "☎ 0900 1", &"a".repeat(51)]
        {
            let letter = Letter { name: Some(name), ..CODE };
            assert!(!letter.render("X").text.contains(name), "{name}");
        }
    }
}
