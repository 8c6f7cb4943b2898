//! Where credentials come from, and what is said when they do not: within
//! seconds, with the words of what failed.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::run::{CONFIG, Place, Run, SECRET_KEY};

/// A laptop without credentials is told so within this time.
const SOON: Duration = Duration::from_secs(5);

/// A place with cluster.yaml and no keys.
fn without_keys(endpoint: &Endpoint) -> Place {
    Place::at(endpoint).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY")
}

fn says(run: &Run, code: &str, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{}", run.screen());
    for word in words.iter().chain([&code, &"meaning: ", &"remedy:  "]) {
        assert!(run.err.contains(word), "{word:?} is not said:\n{}", run.err);
    }
}

#[test]
fn no_credentials_are_noticed_within_seconds_where_the_metadata_service_is_silent() {
    let endpoint = Endpoint::start();
    // Takes connections and never answers, as a firewall that drops does.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let place = without_keys(&endpoint)
        .without("AWS_EC2_METADATA_DISABLED")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let run = place.run(&["plan"]);
    says(&run, "NoCredentials", &["AWS_ACCESS_KEY_ID", "~/.aws/credentials", "`aws configure`"]);
    assert!(run.took < SOON, "it took {:?}", run.took);
    insta::assert_snapshot!(place.tidy(&run.screen()));
    // It was asked, so it is its silence that was waited for.
    silent.set_nonblocking(true).unwrap();
    let (mut asked, _) = silent.accept().expect("the metadata service was asked");
    let mut beginning = [0; 4];
    asked.set_nonblocking(false).unwrap();
    asked.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"PUT ");
}

#[test]
fn no_credentials_are_noticed_at_once_where_there_is_no_metadata_service() {
    let endpoint = Endpoint::start();
    let place = without_keys(&endpoint);
    let run = place.run(&["up", "--yes"]);
    says(&run, "NoCredentials", &[]);
    assert!(run.took < SOON, "it took {:?}", run.took);
    assert!(!place.state().exists());
}

#[test]
fn no_region_is_said_with_the_field_that_holds_one() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write("cluster.yaml", &CONFIG.replace("region: us-east-1\n", ""));
    let run = place.run(&["plan"]);
    says(&run, "NoRegion", &["`region` in cluster.yaml"]);
    let place = place.with("AWS_REGION", "us-east-1");
    assert_eq!(place.run(&["plan"]).code, Some(2));
}

#[test]
fn an_expired_single_sign_on_says_how_to_log_in() {
    let endpoint = Endpoint::start();
    let place = without_keys(&endpoint).with("AWS_PROFILE", "work");
    place.write_home(
        ".aws/config",
        "[profile work]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Admin\nregion = us-east-1\n\n[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\nsso_registration_scopes = sso:account:access\n",
    );
    says(&place.run(&["plan"]), "ExpiredSsoToken", &["`aws sso login`"]);
    // The cache's name is the SHA-1 of the session's.
    let token = r#"{"startUrl": "https://corp.awsapps.com/start", "region": "us-east-1", "accessToken": "stale-token-value", "expiresAt": "2020-01-01T00:00:00Z"}"#;
    place.write_home(&format!(".aws/sso/cache/{SHA1_OF_CORP}.json"), token);
    let run = place.run(&["plan"]);
    says(&run, "ExpiredSsoToken", &["`aws sso login`"]);
    insta::assert_snapshot!(place.tidy(&run.screen()));
    assert!(!run.err.contains("stale-token-value"));
}

/// Of `corp`.
const SHA1_OF_CORP: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";

fn with_process(endpoint: &Endpoint, script: &str) -> Place {
    let place = without_keys(endpoint).with("AWS_PROFILE", "vault");
    place.write_home("keys", &format!("#!/bin/sh\n{script}\n"));
    let path = place.home().join("keys");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let config = format!("[profile vault]\nregion = us-east-1\ncredential_process = {}\n", path.display());
    place.write_home(".aws/config", &config);
    place
}

#[test]
fn a_credential_process_gives_the_keys() {
    let endpoint = Endpoint::start();
    let keys = format!(
        r#"{{"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "{SECRET_KEY}"}}"#
    );
    let place = with_process(&endpoint, &format!("echo '{keys}'"));
    let run = place.run(&["status"]);
    assert!(run.out.starts_with("cluster demo in account 111122223333"), "{}", run.screen());
}

#[test]
fn a_credential_process_that_fails_is_quoted() {
    let endpoint = Endpoint::start();
    let place = with_process(&endpoint, "echo 'the vault is sealed' >&2; exit 3");
    let run = place.run(&["plan"]);
    says(&run, "BadCredentials", &["the vault is sealed"]);
    insta::assert_snapshot!(place.tidy(&run.screen()));
}
