//! Measurements that tests print.

/// Prints one line under the test's name; `cargo test -- --nocapture` shows it while the test runs.
#[expect(
    clippy::print_stdout,
    reason = "the test runner's captured output is where test output belongs"
)]
pub fn line(test: &str, text: &str) {
    println!("[{test}] {text}");
}
