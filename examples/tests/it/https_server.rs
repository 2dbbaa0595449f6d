//! `https_server`: no request fails while the certificate is renewed.

use std::process::Command;

use crate::example;

#[test]
fn no_request_fails_while_the_certificate_is_renewed() {
    let output = Command::new(example("https_server")).args(["--renewals", "1", "--clients", "4"]).output();
    let output = output.unwrap();
    let (said, told) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{told}{said}");
    let served = told.lines().filter(|line| line.contains("answered under certificate")).count();
    assert_eq!(served, 2, "{told}");
    assert!(told.contains("1 renewals, ") && told.ends_with(", 0 failed\n"), "{told}");
}
