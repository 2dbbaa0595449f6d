//! `tls_server`: a client that trusts its certificate is answered.

use std::process::Command;

use crate::example;

#[test]
fn a_client_is_answered_over_plain_tokio_rustls() {
    let output = Command::new(example("tls_server")).output().unwrap();
    let (said, told) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{told}{said}");
    assert!(told.starts_with("hello.example.com at 127.0.0.1:") && told.ends_with("\nhello\n"), "{told}");
}
