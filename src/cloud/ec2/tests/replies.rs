//! Each row of the table of errors, as AWS says it, through the real client.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::endpoint::{Endpoint, Reply, error};
use crate::suite::every_call;
use crate::{ADVICE, Cloud, CloudError, Verdict};

/// A line of replies.txt.
struct Row {
    status: u16,
    service: &'static str,
    action: &'static str,
    code: &'static str,
    message: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../../replies.txt").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap();
        let (status, service, action) = (word().parse().unwrap(), word(), word());
        Row { status, service, action, code: word(), message: word() }
    };
    lines.map(row).collect()
}

async fn fail(ec2: &crate::Ec2, row: &Row) -> CloudError {
    if row.service == "sts" {
        return ec2.caller().await.unwrap_err();
    }
    let call = every_call().into_iter().find(|call| call.action_name() == row.action).unwrap();
    ec2.apply(&call).await.unwrap_err()
}

#[tokio::test]
async fn every_reply_is_read_and_finds_its_row() {
    let next = Arc::new(Mutex::new(Reply::HangUp));
    let said = next.clone();
    let endpoint = Endpoint::saying(move |_| said.lock().unwrap().clone()).await;
    let ec2 = endpoint.client(1).await;
    for row in rows() {
        *next.lock().unwrap() = error(row.service, row.status, row.code, row.message);
        let error = fail(&ec2, &row).await;
        assert_eq!(error.operation, row.action, "{}", row.code);
        assert_eq!(error.code, row.code);
        assert!(row.message.starts_with(&error.message), "{}: {}", row.code, error.message);
        assert_eq!(error.request_id.as_deref(), Some("req-1"), "{}", row.code);
        let advice = error.advice();
        assert!(!advice.meaning.is_empty() && !advice.code.is_empty(), "{} has no row", row.code);
        assert_eq!(advice.code == row.code, !advice.code.contains('*'), "{} found {}", row.code, advice.code);
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_cut_off() {
    let row = rows().into_iter().find(|row| row.code == "UnauthorizedOperation").unwrap();
    assert!(row.message.contains("Encoded"));
    let reply = error(row.service, row.status, row.code, row.message);
    let endpoint = Endpoint::saying(move |_| reply.clone()).await;
    let error = fail(&endpoint.client(1).await, &row).await;
    assert!(
        error.message.contains("ec2:CreateVpc") && !error.message.contains("Encoded"),
        "{}",
        error.message
    );
}

#[test]
fn every_row_that_aws_can_answer_has_a_reply() {
    let ours = [
        "NoCredentials",
        "ExpiredSsoToken",
        "BadCredentials",
        "NoRegion",
        "Connection",
        "Timeout",
        "UntrustedCertificate",
        "Unreadable",
    ];
    let replied: BTreeSet<(&str, &str)> = rows()
        .iter()
        .map(|row| crate::advice(row.code, row.message))
        .map(|advice| (advice.code, advice.words))
        .collect();
    let missing: Vec<&str> = ADVICE
        .iter()
        .filter(|row| {
            !ours.contains(&row.code) && !row.code.starts_with("Client.") && !row.code.starts_with("Server.")
        })
        .filter(|row| !replied.contains(&(row.code, row.words)))
        .map(|row| row.code)
        .collect();
    assert!(missing.is_empty(), "no reply for {missing:?}");
}

#[test]
fn no_row_hides_behind_another() {
    for (index, row) in ADVICE.iter().enumerate() {
        let code = row.code.replace('*', "X");
        let found = crate::advice(&code, row.words);
        assert!(std::ptr::eq(found, &raw const ADVICE[index]), "{} {:?} is never found", row.code, row.words);
    }
}

#[test]
fn every_row_that_stops_says_what_to_do() {
    let silent = ADVICE.iter().filter(|row| row.verdict == Verdict::Stop && row.remedy.is_empty());
    assert_eq!(silent.map(|row| row.code).collect::<Vec<_>>(), [""; 0]);
    for row in ADVICE {
        let sentence = |text: &str| !text.ends_with('.') && !text.contains('\n');
        assert!(sentence(row.meaning) && sentence(row.remedy), "{}", row.code);
    }
}
