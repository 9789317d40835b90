//! The command of a build without the feature `serve`.

use crate::support::Sio;

#[tokio::test]
async fn a_build_without_the_server_knows_no_command_that_serves() {
    let help = Sio::new(&["--help"]).run("").await;
    assert!(help.stdout.contains("sio emit --room lobby"), "{}", help.stdout);
    for command in ["serve", "demo"] {
        let done = Sio::new(&[command]).run("").await;
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(!help.stdout.contains(&format!("sio {command}")), "{}", help.stdout);
    }
}
