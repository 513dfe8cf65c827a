//! Starts the command line, and ends the process.

fn main() {
    end(mintage::cli::run())
}

/// Ends the process without the exit handlers of C libraries. Threads that wait for PostgreSQL may still run, and
/// OpenSSL's handler frees memory that they use: a server would sometimes end with a segmentation fault.
#[expect(unsafe_code, reason = "std::process::exit runs exit handlers")]
fn end(code: i32) -> ! {
    #[cfg(coverage)]
    {
        unsafe extern "C" {
            fn __llvm_profile_write_file() -> i32;
        }
        // SAFETY: it takes no arguments; an exit handler would call it otherwise.
        let _ = unsafe { __llvm_profile_write_file() };
    }
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}
