//! Starts the command line, and ends the process.

fn main() {
    end(mintage::cli::run())
}

/// Ends the process without running the exit handlers of C libraries. Threads that connect to PostgreSQL may still run,
/// and OpenSSL's handler frees memory that they use: a server would sometimes end with a segmentation fault. Nothing is
/// lost: stdout is written line by line, and the log was flushed.
#[expect(unsafe_code, reason = "std::process::exit runs exit handlers")]
fn end(code: i32) -> ! {
    #[cfg(coverage)]
    {
        unsafe extern "C" {
            fn __llvm_profile_write_file() -> i32;
        }
        // Otherwise an exit handler writes the counts of coverage.
        // SAFETY: it takes no arguments.
        let _ = unsafe { __llvm_profile_write_file() };
    }
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}
