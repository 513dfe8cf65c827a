//! VADER on one core, and the lower bound: the same texts split into words and lower-cased.
//!
//! `vader SECONDS` prints texts per second of both, each measured for half of the time.

use std::{
    hint::black_box,
    io::Read,
    time::{Duration, Instant},
};

use mintage::sentiment;

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("vader SECONDS");
    let texts = texts();
    let bound = Duration::from_secs_f64(seconds / 2.0);
    let scored = rate(&texts, bound, |text| {
        black_box(sentiment::score(text));
    });
    let floor = rate(&texts, bound, |text| {
        text.split_whitespace().for_each(|word| drop(black_box(word.to_lowercase())));
    });
    println!("{scored:.0} {floor:.0}");
}

/// The texts of the golden test, which are as short as posts, and the same texts three in one.
fn texts() -> Vec<String> {
    let file = std::fs::File::open("tests/fixtures/vader/reference.jsonl.gz").expect("run at the root");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut lines).expect("UTF-8");
    let written: Vec<String> = lines
        .lines()
        .take(637)
        .map(|line| serde_json::from_str::<(String, f64, f64, f64, f64)>(line).expect("a recorded text").0)
        .collect();
    let long = written.chunks(3).map(|texts| texts.join(" "));
    let long: Vec<String> = long.collect();
    written.into_iter().chain(long).collect()
}

fn rate(texts: &[String], bound: Duration, work: impl Fn(&str)) -> f64 {
    texts.iter().for_each(|text| work(text));
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < bound {
        texts.iter().for_each(|text| work(text));
        count += u32::try_from(texts.len()).expect("few");
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}
