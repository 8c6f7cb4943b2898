//! Where credentials come from, each case in a process of its own with an environment of its own.
//!
//! The parent starts this test binary again for one test, which asks who it is
//! and prints the answer. No case finds this machine's own credentials.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::process::Command;

use super::endpoint::{Endpoint, Reply};
use crate::{Cloud, Ec2};

const CHILD: &str = "ec2::tests::credentials::a_child_says_who_it_is";
const REGION: &str = "CLUSTER_TEST_REGION";

#[tokio::test]
async fn a_child_says_who_it_is() {
    let Ok(region) = std::env::var(REGION) else { return };
    let region = Some(region.as_str()).filter(|region| !region.is_empty());
    let answer = match Ec2::connect(region).await {
        Ok(ec2) => ec2.caller().await.map(|caller| format!("{} in {}", caller.account, ec2.region())),
        Err(error) => Err(error),
    };
    match answer {
        Ok(account) => println!("\nANSWER account {account}"),
        Err(error) => println!("\nANSWER {} | {} | {}", error.code, error.message, error.advice().remedy),
    }
}

/// A home of its own, an endpoint of its own, and a metadata service that never answers.
struct Case {
    home: PathBuf,
    endpoint: Endpoint,
    black_hole: TcpListener,
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

async fn case(config: &str) -> Case {
    let home = std::env::temp_dir().join(format!("cluster-{}", base::Ids::next(&base::RandomIds)));
    std::fs::create_dir_all(home.join(".aws/sso/cache")).unwrap();
    std::fs::write(home.join(".aws/config"), config).unwrap();
    let endpoint = Endpoint::saying(|form| {
        if !form.contains_key("Action") {
            return Reply::Answer { status: 200, body: ROLE.into() };
        }
        let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
            <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/operator</Arn>\
            <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
        Reply::Answer { status: 200, body: body.into() }
    })
    .await;
    let black_hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Case { home, endpoint, black_hole }
}

impl Case {
    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.home.join(path), text).unwrap();
    }

    async fn says(&self, environment: &[(&str, &str)]) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([CHILD, "--exact", "--nocapture"]).env_clear();
        child.env("PATH", "/usr/bin:/bin").env("HOME", &self.home).env(REGION, "us-east-1");
        child.env("AWS_ENDPOINT_URL", self.endpoint.url());
        let metadata = format!("http://{}", self.black_hole.local_addr().unwrap());
        child.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata);
        child.envs(environment.iter().copied());
        let output = child.output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = text.lines().find_map(|line| line.strip_prefix("ANSWER "));
        answer.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }
}

#[tokio::test]
async fn no_credentials_is_said_within_five_seconds_though_the_metadata_service_is_a_black_hole() {
    let case = case("").await;
    let started = Instant::now();
    let said = case.says(&[]).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(said.starts_with("NoCredentials | "), "{said}");
    for word in ["AWS_ACCESS_KEY_ID", "profile default", "aws configure", "aws sso login", "AWS_PROFILE"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn no_region_is_said_within_five_seconds() {
    let case = case("").await;
    let started = Instant::now();
    let said = case.says(&[(REGION, "")]).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(said.starts_with("NoRegion | ") && said.contains("`region` in cluster.yaml"), "{said}");
}

#[tokio::test]
async fn keys_of_the_environment_and_region_of_the_profile_are_found() {
    let case = case("[profile work]\nregion = eu-west-1\n").await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "no secret")];
    let said = case.says(&[keys[0], keys[1], ("AWS_PROFILE", "work"), (REGION, "")]).await;
    assert_eq!(said, "account 123456789012 in eu-west-1");
}

#[tokio::test]
async fn a_credential_process_is_run() {
    let keys = r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "no secret"}"#;
    let case = case(&format!("[default]\ncredential_process = /bin/echo '{keys}'\n")).await;
    assert_eq!(case.says(&[]).await, "account 123456789012 in us-east-1");
}

#[tokio::test]
async fn a_credential_process_that_fails_is_named() {
    let case = case("[default]\ncredential_process = /bin/false\n").await;
    let said = case.says(&[]).await;
    assert!(said.starts_with("BadCredentials | ") && said.contains("~/.aws/config"), "{said}");
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_named() {
    let case = case("[profile work]\nregion = eu-west-1\n").await;
    let said = case.says(&[("AWS_PROFILE", "wrok")]).await;
    assert!(said.contains("wrok"), "{said}");
}

const SSO: &str = "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = operator\n\
    [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
    sso_registration_scopes = sso:account:access\n";

#[tokio::test]
async fn a_single_sign_on_that_was_never_opened_says_how_to_log_in() {
    let case = case(SSO).await;
    let said = case.says(&[("AWS_PROFILE", "work")]).await;
    assert!(said.starts_with("ExpiredSsoToken | ") && said.contains("aws sso login"), "{said}");
}

#[tokio::test]
async fn a_single_sign_on_that_has_expired_says_how_to_log_in() {
    let case = case(SSO).await;
    case.write(
        &token_file(),
        r#"{"accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1"}"#,
    );
    let said = case.says(&[("AWS_PROFILE", "work")]).await;
    assert!(said.starts_with("ExpiredSsoToken | ") && said.contains("aws sso login"), "{said}");
}

/// What single sign-on gives for a role.
const ROLE: &str = r#"{"roleCredentials": {"accessKeyId": "AKID", "secretAccessKey": "no secret",
    "sessionToken": "token", "expiration": 4102444800000}}"#;

#[tokio::test]
async fn an_open_single_sign_on_is_used() {
    let case = case(SSO).await;
    let token = r#"{"accessToken": "x", "expiresAt": "2100-01-01T00:00:00Z", "region": "us-east-1"}"#;
    case.write(&token_file(), token);
    assert_eq!(case.says(&[("AWS_PROFILE", "work")]).await, "account 123456789012 in us-east-1");
}

/// Named by the SHA-1 of the session's name, `corp`.
fn token_file() -> String {
    Path::new(".aws/sso/cache").join("SHA1.json").to_string_lossy().replace("SHA1", CORP)
}

const CORP: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";
