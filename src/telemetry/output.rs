//! Writes log lines to stderr from a buffer of limited size, on a thread of its own.
//!
//! Logging never waits for the reader of stderr. If the reader is slow or gone, or the disk is full, lines are dropped
//! and counted.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Size of the buffer in bytes, about a thousand lines; as many may be being written.
const MAX_WAITING: usize = 256 * 1024;
/// Between two attempts on a non-blocking descriptor.
const PAUSE: Duration = Duration::from_millis(20);

/// The output of the process, with its thread.
pub(super) static STDERR: LazyLock<&'static Output> = LazyLock::new(|| {
    let output: &'static Output = Box::leak(Box::default());
    // If the thread cannot be started, lines are dropped and counted once the buffer is full.
    let _ = thread::Builder::new().name("log".into()).spawn(|| output.write_to(io::stderr()));
    output
});

#[derive(Default)]
pub(super) struct Output {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl Output {
    /// Adds a line to the buffer, or drops it; never blocks.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > MAX_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Number of lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written; false if that takes longer than `within`.
    pub fn flush(&self, within: Duration) -> bool {
        let busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        !self.changed.wait_while_for(&mut self.state(), busy, within).timed_out()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn write_to(&self, to: impl Write) {
        let (mut to, mut reported) = (Lines { to, is_torn: false }, 0);
        loop {
            let lines = self.next();
            let mut failed = 0;
            let mut written = 0;
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                match to.write(line) {
                    Ok(()) => written += 1,
                    Err(_) => failed += 1,
                }
            }
            let total = self.dropped.fetch_add(failed, Ordering::Relaxed) + failed;
            if written > 0 && total > reported {
                let lines = total - reported;
                tracing::error!(lines, total, "log lines were dropped, since stderr was not read in time");
                reported = total;
            }
            self.state().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits for lines, and takes all of them.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        self.changed.wait_while(&mut state, |state| state.waiting.is_empty());
        state.is_writing = true;
        mem::take(&mut state.waiting)
    }
}

struct Lines<W> {
    to: W,
    /// The last line was cut off, for example by a full disk, so that the next one needs a line break before it.
    is_torn: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_all(b"\n")?;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.is_torn = !bytes.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another program has made the terminal or pipe non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const BOUND: Duration = Duration::from_mins(1);

    /// A writer whose results a test decides.
    struct Gate {
        manner: mpsc::Receiver<io::Result<usize>>,
        arrived: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.manner.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.arrived.lock().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Manner = mpsc::Sender<io::Result<usize>>;

    /// An output whose writes have the results that are sent here, and succeed once the sender is dropped.
    fn output() -> (&'static Output, Manner, Arc<Mutex<Vec<u8>>>) {
        let output: &'static Output = Box::leak(Box::default());
        let (manner, arrived) = (mpsc::channel(), Arc::default());
        let gate = Gate { manner: manner.1, arrived: Arc::clone(&arrived) };
        thread::spawn(|| output.write_to(gate));
        (output, manner.0, arrived)
    }

    fn text(arrived: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(arrived.lock().clone()).expect("text")
    }

    #[test]
    fn lines_arrive_in_order() {
        let (output, open, arrived) = output();
        drop(open);
        let lines: Vec<_> = (0..1000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            output.push(line.as_bytes());
        }
        assert!(output.flush(BOUND));
        assert_eq!((text(&arrived), output.dropped()), (lines.concat(), 0));
    }

    #[test]
    fn lines_above_the_limit_are_dropped_and_counted_without_waiting() {
        let (output, open, arrived) = output();
        let line = [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        for _ in 0..2000 {
            output.push(&line);
        }
        assert!(!output.flush(Duration::from_millis(1)), "nothing was taken");
        let dropped = output.dropped();
        drop(open);
        assert!(output.flush(BOUND));
        let lines = text(&arrived).lines().count();
        // One batch may have been on its way already.
        assert!((256..=512).contains(&lines), "{lines}");
        assert_eq!(lines as u64 + dropped, 2000, "each line is written or counted");
    }

    #[test]
    fn failed_lines_are_counted_and_torn_ones_are_ended() {
        let (output, manner, arrived) = output();
        for one in [
            Ok(3),
            Err(ErrorKind::StorageFull.into()),
            Err(ErrorKind::BrokenPipe.into()),
            Err(ErrorKind::Interrupted.into()),
            Err(ErrorKind::WouldBlock.into()),
        ] {
            manner.send(one).expect("open");
        }
        drop(manner);
        for line in ["first\n", "second\n", "third\n"] {
            output.push(line.as_bytes());
        }
        assert!(output.flush(BOUND));
        assert_eq!((text(&arrived).as_str(), output.dropped()), ("fir\nthird\n", 2));
    }
}
