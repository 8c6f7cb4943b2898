//! The committed table of AWS's error codes, read as the text it is, and for
//! each row a code and words that AWS would send.

/// A row of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) code: String,
    pub(crate) words: String,
    pub(crate) verdict: String,
    pub(crate) meaning: String,
    pub(crate) remedy: String,
}

/// A piece of Rust that the table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Word(String),
    Mark(char),
}

/// All rows, in the table's order.
pub(crate) fn table() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cloud/table.rs");
    let source = std::fs::read_to_string(path).expect("the table's source");
    let (constants, rows) = source.split_once("pub static ADVICE").expect("the table");
    let constants = tokens(constants);
    let constant = |name: &str| {
        let named = [Token::Word("const".to_owned()), Token::Word(name.to_owned())];
        let at = constants.windows(2).position(|pair| pair == named);
        let rest = at.map_or(&[][..], |at| &constants[at..]);
        rest.iter().find_map(|token| match token {
            Token::Text(text) => Some(text.clone()),
            _ => None,
        })
    };
    let tokens = tokens(rows);
    let starts = tokens.windows(2).enumerate().filter(|(_, pair)| {
        matches!(pair, [Token::Word(name), Token::Mark('(')] if name == "row" || name == "worded")
    });
    starts.map(|(at, _)| row(&tokens[at..], &constant)).collect()
}

fn row(tokens: &[Token], constant: &dyn Fn(&str) -> Option<String>) -> Row {
    let end = tokens.iter().position(|token| *token == Token::Mark(')')).expect("the row's end");
    let values: Vec<String> = tokens[2..end]
        .iter()
        .filter_map(|token| match token {
            Token::Text(text) => Some(text.clone()),
            Token::Word(name) => Some(constant(name).unwrap_or_else(|| name.clone())),
            Token::Mark(_) => None,
        })
        .collect();
    match &values[..] {
        [code, verdict, meaning, remedy] => Row {
            code: code.clone(),
            words: String::new(),
            verdict: verdict.clone(),
            meaning: meaning.clone(),
            remedy: remedy.clone(),
        },
        [code, words, rest @ ..] if rest.len() == 3 => Row {
            code: code.clone(),
            words: words.clone(),
            verdict: rest[0].clone(),
            meaning: rest[1].clone(),
            remedy: rest[2].clone(),
        },
        other => panic!("a row of {} values: {other:?}", other.len()),
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    let mut tokens = Vec::new();
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '"' {
            let mut text = String::new();
            while let Some(c) = rest.next().filter(|c| *c != '"') {
                text.extend(if c == '\\' { rest.next() } else { Some(c) });
            }
            tokens.push(Token::Text(text));
        } else if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            tokens.push(Token::Word(word));
        } else if !c.is_whitespace() {
            tokens.push(Token::Mark(c));
        }
    }
    tokens
}

/// A code that the row fits, and what AWS says with it.
pub(crate) fn sample(row: &Row) -> (String, String) {
    let code = match row.code.as_str() {
        "*.NotFound" => "InvalidVpcEndpointId.NotFound",
        "*.Duplicate" => "InvalidPermission.Duplicate",
        "*.Malformed" => "InvalidVpcID.Malformed",
        "*LimitExceeded" => "NatGatewayLimitExceeded",
        "InvalidKMSKey.*" => "InvalidKMSKey.InvalidState",
        "Server.*" => "Server.InternalError",
        "Client.*" => "Client.InvalidParameterCombination",
        code => code,
    };
    let known = SAMPLES.iter().find(|(known, words, _)| *known == code && *words == row.words);
    let message = known.map_or_else(
        || format!("The words that AWS says with {code}{}.", sentence(&row.words)),
        |(_, _, message)| (*message).to_owned(),
    );
    (code.to_owned(), message)
}

fn sentence(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(", among them {words}") }
}

/// AWS's own words, where the row hangs on them or people search for them.
const SAMPLES: &[(&str, &str, &str)] = &[
    (
        "UnauthorizedOperation",
        "",
        "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/ada is not authorized to perform: ec2:DescribeVpcs because no identity-based policy allows the ec2:DescribeVpcs action.",
    ),
    ("ExpiredToken", "", "The security token included in the request is expired"),
    ("RequestExpired", "", "Request has expired."),
    ("AuthFailure", "", "AWS was not able to validate the provided access credentials"),
    ("InvalidClientTokenId", "", "The security token included in the request is invalid."),
    (
        "SignatureDoesNotMatch",
        "",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
    ),
    (
        "OptInRequired",
        "",
        "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe.",
    ),
    (
        "PendingVerification",
        "",
        "Your request for accessing resources in this region is being validated, and you will not be able to launch additional resources in this region until the validation is complete.",
    ),
    (
        "Blocked",
        "",
        "This account is currently blocked and not recognized as a valid account. Please contact aws-verification@amazon.com if you have questions.",
    ),
    (
        "VcpuLimitExceeded",
        "",
        "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the specified instance type belongs to.",
    ),
    ("VpcLimitExceeded", "", "The maximum number of VPCs has been reached."),
    (
        "InvalidParameterCombination",
        "free tier",
        "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, run 'describe-instance-types' with the filter 'free-tier-eligible=true'.",
    ),
    (
        "InsufficientInstanceCapacity",
        "",
        "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (us-east-1a).",
    ),
    (
        "Unsupported",
        "",
        "Your requested instance type (t3.small) is not supported in your requested Availability Zone (us-east-1a).",
    ),
    (
        "InsufficientFreeAddressesInSubnet",
        "",
        "There are not enough free addresses in subnet 'subnet-0123456789abcdef0' to satisfy the requested number of instances.",
    ),
    ("InvalidAMIID.NotFound", "", "The image id '[ami-0123456789abcdef0]' does not exist"),
    ("RequestLimitExceeded", "", "Request limit exceeded."),
    (
        "InvalidParameterValue",
        "iam instance profile",
        "Value (nodes) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    ),
    (
        "InvalidParameterValue",
        "availabilityzone",
        "Value (us-east-1x) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: us-east-1a.",
    ),
    (
        "IdempotentParameterMismatch",
        "",
        "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical",
    ),
    ("DependencyViolation", "", "The vpc 'vpc-0123456789abcdef0' has dependencies and cannot be deleted."),
];

#[test]
fn the_table_is_read_as_it_is_written() {
    let rows = table();
    assert!(rows.len() > 100, "{} rows", rows.len());
    let find = |code: &str, words: &str| {
        rows.iter().find(|row| row.code == code && row.words == words).expect("the row").clone()
    };
    assert_eq!(find("VpcLimitExceeded", "").meaning, "the region's limit of VPCs (5 at first) is reached");
    assert!(find("VpcLimitExceeded", "").remedy.contains("Service Quotas console"));
    assert!(find("VcpuLimitExceeded", "").remedy.contains("\"Running On-Demand Standard instances\""));
    assert_eq!(find("InvalidParameterCombination", "free tier").verdict, "Stop");
}
