//! The lower bound: bcrypt on threads and nothing else.
//!
//! `bare-bcrypt COST THREADS SECONDS` prints verifications per second.

use std::{
    thread,
    time::{Duration, Instant},
};

fn main() {
    let arguments: Vec<u32> = std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let [cost, threads, seconds] = arguments.as_slice() else {
        panic!("bare-bcrypt COST THREADS SECONDS");
    };
    let hash = bcrypt::hash("a password", *cost).expect("a hash");
    let bound = Duration::from_secs(u64::from(*seconds));
    let began = Instant::now();
    let counts: Vec<_> = (0..*threads)
        .map(|_| {
            let hash = hash.clone();
            thread::spawn(move || {
                let mut count = 0u32;
                while began.elapsed() < bound {
                    assert!(bcrypt::verify("a password", &hash).expect("a verdict"));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let total: u32 = counts.into_iter().map(|count| count.join().expect("a thread")).sum();
    println!("{:.3}", f64::from(total) / began.elapsed().as_secs_f64());
}
