//! The test mail of `mintage send-test-mail`.

use serde::{Deserialize, Serialize};

use super::{Letter, Mailer};
use crate::jobs::{Failure, Job, Running};

/// Lets an operator check that mails arrive.
#[derive(Serialize, Deserialize)]
pub struct TestMail {
    pub to: String,
}

impl Job for TestMail {
    const KIND: &'static str = "test-mail";
    type Context = Mailer;

    async fn run(self, running: Running, mailer: &Mailer) -> Result<(), Failure> {
        let product = mailer.product();
        let subject = format!("Test mail from {product}");
        let paragraph = format!("This is a test mail. {product} can send mails to this address.");
        let letter = Letter { subject: &subject, paragraphs: &[&paragraph], ..Letter::default() };
        mailer.send_letter(&running, &self.to, &letter).await
    }
}
