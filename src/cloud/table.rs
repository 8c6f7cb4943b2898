//! The committed table of AWS error codes: meaning, remedy, verdict.
//!
//! Its codes are those of the EC2 and STS API references, of the "Common
//! errors" page, of instance state reasons, and a few of our own for what
//! never reached AWS. First fit wins: rows with words stand before the row of
//! the same code without, families (`*.NotFound`) at the end.
//!
//! Longer than other files because it is one table, and its order is searched.

use crate::advice::Advice;
use crate::advice::Verdict::{self, LookAgain, Replace, Retry, Stop};

const fn row(code: &'static str, verdict: Verdict, meaning: &'static str, remedy: &'static str) -> Advice {
    Advice { code, words: "", verdict, meaning, remedy }
}

const fn worded(
    code: &'static str,
    words: &'static str,
    verdict: Verdict,
    meaning: &'static str,
    remedy: &'static str,
) -> Advice {
    Advice { code, words, verdict, meaning, remedy }
}

/// For codes without a row.
pub const UNKNOWN: Advice = row(
    "",
    Stop,
    "AWS answered with a code this program does not know",
    "look the code up in the EC2 API reference; running the command again continues where it stopped",
);

const LOG_IN: &str = "get fresh credentials (`aws sso login`, `aws configure`, or a new session token), then run the command again";
const ASK_QUOTA: &str =
    "ask for a higher limit in the Service Quotas console of this region, or remove what is no longer used";

/// All rows, in order of search.
pub static ADVICE: &[Advice] = &[
    // Before AWS is reached: codes of ours.
    row(
        "NoCredentials",
        Stop,
        "no AWS credentials were found",
        "run `aws configure` or `aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    row(
        "ExpiredSsoToken",
        Stop,
        "the profile's single sign-on session has expired or was never opened",
        "run `aws sso login` for the profile in use, then run the command again",
    ),
    row(
        "BadCredentials",
        Stop,
        "the configured credentials source failed",
        "correct the profile in ~/.aws/config that the message names",
    ),
    row("NoRegion", Stop, "no AWS region is configured", "set `region` in cluster.yaml, or AWS_REGION"),
    row(
        "Connection",
        Retry,
        "AWS could not be reached",
        "check the network, the region's name, any proxy and AWS_ENDPOINT_URL",
    ),
    row(
        "Timeout",
        Retry,
        "AWS did not answer in time",
        "check the network; running the command again continues where it stopped",
    ),
    row(
        "Unreadable",
        Stop,
        "what answered is not AWS's API",
        "check AWS_ENDPOINT_URL and any proxy between here and AWS",
    ),
    row(
        "UntrustedCertificate",
        Stop,
        "what answered has a certificate that no authority known to this machine has signed",
        "install the ca-certificates package; behind a proxy that opens TLS, name its authority in SSL_CERT_FILE",
    ),
    // Who is asking, and may they.
    row(
        "UnauthorizedOperation",
        Stop,
        "the identity in use is not allowed to call this action",
        "have an administrator allow the action named above; infra/ holds the whole policy the program needs",
    ),
    row(
        "AccessDenied",
        Stop,
        "the identity in use is not allowed to call this action",
        "have an administrator allow the action named above; infra/ holds the whole policy the program needs",
    ),
    row(
        "AccessDeniedException",
        Stop,
        "the identity in use is not allowed to call this action",
        "have an administrator allow the action named above; infra/ holds the whole policy the program needs",
    ),
    row("ExpiredToken", Stop, "the session token has expired", LOG_IN),
    row("ExpiredTokenException", Stop, "the session token has expired", LOG_IN),
    row(
        "RequestExpired",
        Stop,
        "the request's time and AWS's are more than 15 minutes apart, or the session token has expired",
        "set this machine's clock (`timedatectl`), then get fresh credentials if it was right",
    ),
    row(
        "RequestTimeTooSkewed",
        Stop,
        "this machine's clock and AWS's are too far apart",
        "set this machine's clock (`timedatectl`)",
    ),
    row(
        "AuthFailure",
        Stop,
        "AWS could not validate the credentials, or the account may not use this region or image",
        "check the access key, that the region is enabled for the account, and this machine's clock",
    ),
    row(
        "InvalidClientTokenId",
        Stop,
        "the access key does not exist, is inactive, or the region is not enabled for the account",
        "check the access key in use; regions opened after 2019 must be enabled in the account first",
    ),
    row("UnrecognizedClientException", Stop, "the access key does not exist or is inactive", LOG_IN),
    row("MissingAuthenticationToken", Stop, "the request carried no credentials", LOG_IN),
    row(
        "SignatureDoesNotMatch",
        Stop,
        "the secret access key does not belong to the access key, or this machine's clock is wrong",
        "enter the key pair again (`aws configure`), and check the clock",
    ),
    row(
        "IncompleteSignature",
        Stop,
        "the request's signature is malformed",
        "enter the access key again: a stray blank or line break is the usual cause",
    ),
    row(
        "OptInRequired",
        Stop,
        "the account is not signed up for EC2, or not for the image's product",
        "finish the account's sign-up, enable the region, or accept the image's terms in AWS Marketplace",
    ),
    row(
        "PendingVerification",
        Stop,
        "AWS is still verifying the account for this region; it writes an e-mail when it is done, mostly within minutes, at most four hours",
        "run the command again after AWS's e-mail: it continues where it stopped",
    ),
    row("Blocked", Stop, "AWS has blocked the account", "write to AWS Support: only they can lift it"),
    row("AccountDisabled", Stop, "the account's use of EC2 is disabled", "write to AWS Support"),
    row("ValidationError", Stop, "AWS found the request malformed", "report it with the request id"),
    // Limits.
    row(
        "VcpuLimitExceeded",
        Stop,
        "the account's limit of vCPUs for this family of instance types is reached",
        "ask for more \"Running On-Demand Standard instances\" vCPUs in Service Quotas, or use smaller types or fewer nodes",
    ),
    row("InstanceLimitExceeded", Stop, "the account's limit of running instances is reached", ASK_QUOTA),
    row("VpcLimitExceeded", Stop, "the region's limit of VPCs (5 at first) is reached", ASK_QUOTA),
    row("SubnetLimitExceeded", Stop, "the VPC's limit of subnets is reached", ASK_QUOTA),
    row(
        "InternetGatewayLimitExceeded",
        Stop,
        "the region's limit of internet gateways is reached",
        ASK_QUOTA,
    ),
    row("RouteTableLimitExceeded", Stop, "the VPC's limit of route tables is reached", ASK_QUOTA),
    row("RouteLimitExceeded", Stop, "the route table's limit of routes is reached", ASK_QUOTA),
    row("SecurityGroupLimitExceeded", Stop, "the region's limit of security groups is reached", ASK_QUOTA),
    row(
        "RulesPerSecurityGroupLimitExceeded",
        Stop,
        "the security group's limit of rules (60 at first) is reached",
        "list fewer, wider CIDRs under `access` in cluster.yaml, or ask for a higher limit in Service Quotas",
    ),
    row(
        "SecurityGroupsPerInterfaceLimitExceeded",
        Stop,
        "a network interface has too many security groups",
        ASK_QUOTA,
    ),
    row(
        "NetworkInterfaceLimitExceeded",
        Stop,
        "the region's limit of network interfaces is reached",
        ASK_QUOTA,
    ),
    row("AddressLimitExceeded", Stop, "the region's limit of elastic addresses is reached", ASK_QUOTA),
    row("VolumeLimitExceeded", Stop, "the account's limit of volumes or of their size is reached", ASK_QUOTA),
    row("MaxIOPSLimitExceeded", Stop, "the account's limit of volume IOPS is reached", ASK_QUOTA),
    row("KeyPairLimitExceeded", Stop, "the region's limit of key pairs is reached", ASK_QUOTA),
    row(
        "TagLimitExceeded",
        Stop,
        "a resource has too many tags",
        "remove tags that something else put on it",
    ),
    row("MaxSpotInstanceCountExceeded", Stop, "the account's limit of spot instances is reached", ASK_QUOTA),
    row("ResourceLimitExceeded", Stop, "a limit of the account is reached", ASK_QUOTA),
    row("ResourceCountExceeded", Stop, "a limit of the account is reached", ASK_QUOTA),
    // What was asked for cannot be had.
    worded(
        "InvalidParameterCombination",
        "free tier",
        Stop,
        "the account is on AWS's free plan, which only runs some instance types",
        "choose an eligible type (t3.micro, t3.small, t4g.small, c7i-flex.large, m7i-flex.large) or upgrade the account's plan",
    ),
    row(
        "InvalidParameterCombination",
        Stop,
        "two of the request's parameters do not go together",
        "change the field of cluster.yaml that the message names",
    ),
    row(
        "InsufficientInstanceCapacity",
        Retry,
        "AWS has no machine of this type left in this zone just now",
        "wait, or choose another type or other zones in cluster.yaml",
    ),
    row(
        "InsufficientHostCapacity",
        Retry,
        "AWS has no host for this machine left in this zone just now",
        "wait, or choose another type or other zones in cluster.yaml",
    ),
    row(
        "InsufficientCapacity",
        Retry,
        "AWS cannot meet the request just now",
        "wait, or choose another type or other zones in cluster.yaml",
    ),
    row(
        "InsufficientAddressCapacity",
        Retry,
        "AWS has no public address left just now",
        "wait and run the command again",
    ),
    row(
        "InsufficientVolumeCapacity",
        Retry,
        "AWS has no room for this kind of volume in this zone just now",
        "wait, or choose other zones in cluster.yaml",
    ),
    row(
        "Unsupported",
        Stop,
        "this instance type is not offered in this zone, or not with these settings",
        "choose another type or other zones in cluster.yaml",
    ),
    row(
        "UnsupportedOperation",
        Stop,
        "AWS does not offer this operation on this resource",
        "change what the message names",
    ),
    row(
        "InsufficientFreeAddressesInSubnet",
        Stop,
        "the subnet has no free address left",
        "use a wider `network.cidr`, more zones or fewer nodes",
    ),
    row(
        "InvalidAMIID.NotFound",
        Stop,
        "the image does not exist in this region, or is not shared with this account",
        "correct `image` in cluster.yaml: image ids differ from region to region",
    ),
    row(
        "InvalidAMIID.Malformed",
        Stop,
        "the image id is malformed",
        "correct `image.id` in cluster.yaml: ami- and 17 hexadecimal digits",
    ),
    row(
        "InvalidAMIID.Unavailable",
        Stop,
        "the image is deregistered, pending, or no longer shared",
        "choose another `image` in cluster.yaml",
    ),
    row("InvalidInstanceType", Stop, "the instance type does not exist", "correct the type in cluster.yaml"),
    worded(
        "InvalidParameterValue",
        "instancetype",
        Stop,
        "the instance type does not exist in this region",
        "correct the type in cluster.yaml",
    ),
    worded(
        "InvalidParameterValue",
        "iaminstanceprofile",
        Stop,
        "the IAM instance profile does not exist, or is too new to be seen everywhere",
        "correct `iamInstanceProfile` in cluster.yaml (the profile's name, not the role's); if it was just made, run the command again",
    ),
    worded(
        "InvalidParameterValue",
        "iam instance profile",
        Stop,
        "the IAM instance profile does not exist, or is too new to be seen everywhere",
        "correct `iamInstanceProfile` in cluster.yaml (the profile's name, not the role's); if it was just made, run the command again",
    ),
    worded(
        "InvalidParameterValue",
        "availabilityzone",
        Stop,
        "the zone does not exist in this region or is closed to the account",
        "correct `network.zones` in cluster.yaml",
    ),
    worded(
        "InvalidParameterValue",
        "currently in use",
        LookAgain,
        "the network interface is still attached",
        "wait until what holds it is gone",
    ),
    worded(
        "InvalidParameterValue",
        "already has an internet gateway",
        LookAgain,
        "the VPC has an internet gateway already",
        "",
    ),
    row(
        "InvalidParameterValue",
        Stop,
        "AWS does not accept a parameter's value",
        "change the field of cluster.yaml that the message names",
    ),
    row(
        "InvalidParameter",
        Stop,
        "AWS does not accept a parameter",
        "change the field of cluster.yaml that the message names",
    ),
    row("MissingParameter", Stop, "a parameter is missing from the request", "report it with the request id"),
    row(
        "UnknownParameter",
        Stop,
        "AWS does not know a parameter of the request",
        "report it with the request id",
    ),
    row(
        "InvalidBlockDeviceMapping",
        Stop,
        "the root volume does not fit the image, mostly because it is smaller than the image's own",
        "raise the node's volume size in cluster.yaml",
    ),
    row(
        "VolumeTypeNotAvailableInZone",
        Stop,
        "gp3 volumes are not offered in this zone",
        "choose other zones in cluster.yaml",
    ),
    row(
        "EncryptionNotSupported",
        Stop,
        "this instance type cannot use encrypted volumes",
        "choose a current instance type in cluster.yaml",
    ),
    row(
        "InvalidKMSKey.*",
        Stop,
        "the account's default key for volumes is missing, disabled or not usable by this identity",
        "enable the default EBS encryption key in KMS, or choose another under EC2, Settings, Data protection",
    ),
    row(
        "KMSKeyNotAccessibleFault",
        Stop,
        "the key that encrypts volumes cannot be used",
        "enable the default EBS encryption key in KMS",
    ),
    row(
        "InvalidSubnet.Range",
        Stop,
        "the subnet's addresses do not lie in the VPC's",
        "correct `network` in cluster.yaml",
    ),
    row(
        "InvalidVpc.Range",
        Stop,
        "a VPC's addresses must be a /16 to /28",
        "correct `network.cidr` in cluster.yaml",
    ),
    row(
        "InvalidKey.Format",
        Stop,
        "AWS does not accept the public key",
        "use an ed25519 or RSA key in OpenSSH's form",
    ),
    row("InvalidUserData.Malformed", Stop, "the user data is malformed", "report it with the request id"),
    row(
        "UserDataLimitExceeded",
        Stop,
        "the user data is longer than 16 KiB",
        "shorten what cluster.yaml adds to it",
    ),
    // Passing troubles.
    row(
        "RequestLimitExceeded",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "Throttling",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "ThrottlingException",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "ThrottledException",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "TooManyRequestsException",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "RequestThrottled",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row(
        "RequestThrottledException",
        Retry,
        "too many calls: the account's request rate is reached",
        "calls are slowed down; other tools on the same account share the rate",
    ),
    row("ResourceCountExceededException", Retry, "too many calls at once", ""),
    row(
        "InternalError",
        Retry,
        "AWS had an internal error",
        "if it lasts, see AWS's health dashboard for the region",
    ),
    row(
        "InternalFailure",
        Retry,
        "AWS had an internal error",
        "if it lasts, see AWS's health dashboard for the region",
    ),
    row(
        "ServiceUnavailable",
        Retry,
        "AWS cannot serve the request just now",
        "if it lasts, see AWS's health dashboard for the region",
    ),
    row(
        "Unavailable",
        Retry,
        "AWS cannot serve the request just now",
        "if it lasts, see AWS's health dashboard for the region",
    ),
    row("ConcurrentTagAccess", Retry, "two calls changed the same tags at once", ""),
    row("ConcurrentModification", Retry, "two calls changed the same resource at once", ""),
    // Tokens.
    row(
        "IdempotentParameterMismatch",
        Stop,
        "a client token was used again with other parameters: the journal and the account disagree",
        "report it with the request id; `down` and a new `up` start clean",
    ),
    row(
        "IdempotentInstanceTerminated",
        Replace,
        "the instance that this token stood for is terminated",
        "a new attempt is made with a new token",
    ),
    // The world is not as assumed.
    row(
        "DependencyViolation",
        LookAgain,
        "something still uses the resource",
        "what blocks is named by `down`; remove what does not belong to the cluster by hand",
    ),
    row("VolumeInUse", LookAgain, "the volume is still attached", "wait until its instance is terminated"),
    row(
        "InvalidNetworkInterface.InUse",
        LookAgain,
        "the network interface is still attached",
        "wait until what holds it is gone",
    ),
    row(
        "InvalidGroup.InUse",
        LookAgain,
        "something still uses the security group",
        "wait until what uses it is gone",
    ),
    row(
        "IncorrectInstanceState",
        LookAgain,
        "the instance is in a state that does not allow this",
        "wait until it is running or stopped",
    ),
    row(
        "IncorrectState",
        LookAgain,
        "the resource is in a state that does not allow this",
        "wait and run the command again",
    ),
    row("InvalidVpcState", LookAgain, "the VPC is not ready yet", "wait and run the command again"),
    row("Gateway.NotAttached", LookAgain, "the internet gateway is not attached to this VPC", ""),
    row("Resource.AlreadyAssociated", LookAgain, "the resource is attached or associated already", ""),
    row("Resource.AlreadyAttached", LookAgain, "the resource is attached already", ""),
    row("RouteAlreadyExists", LookAgain, "the route table has a route for these addresses already", ""),
    row(
        "InvalidSubnet.Conflict",
        LookAgain,
        "another subnet of the VPC has these addresses",
        "correct `network` in cluster.yaml, or remove the other subnet",
    ),
    row(
        "CannotDelete",
        Stop,
        "AWS's own default group or table cannot be deleted",
        "report it with the request id",
    ),
    row(
        "OperationNotPermitted",
        Stop,
        "the instance is protected: against termination, or against stopping",
        "switch the instance's protection off in the console, if it is meant to go",
    ),
    row("DryRunOperation", Stop, "AWS would allow the call", "nothing: it was only a question"),
    // Why an instance died: codes of state reasons.
    row(
        "Client.VolumeLimitExceeded",
        Stop,
        "the instance died at start: the account's limit of volumes is reached",
        ASK_QUOTA,
    ),
    row(
        "Client.InternalError",
        Stop,
        "the instance died at start: mostly the key that encrypts its volume cannot be used",
        "enable the default EBS encryption key in KMS, and let this identity use it",
    ),
    row(
        "Client.InvalidSnapshot.NotFound",
        Stop,
        "the instance died at start: the image's snapshot is missing",
        "choose another `image` in cluster.yaml",
    ),
    row(
        "Client.UserInitiatedShutdown",
        LookAgain,
        "somebody stopped or terminated the instance by a call to AWS",
        "see CloudTrail for who did",
    ),
    row(
        "Client.UserInitiatedHibernate",
        LookAgain,
        "somebody hibernated the instance by a call to AWS",
        "see CloudTrail for who did",
    ),
    row("Client.InstanceInitiatedShutdown", LookAgain, "the machine was shut down from inside", ""),
    row(
        "Server.InsufficientInstanceCapacity",
        Replace,
        "the instance could not start: AWS has no machine of this type left in this zone",
        "choose another type or other zones in cluster.yaml",
    ),
    row("Server.SpotInstanceShutdown", Replace, "AWS took the spot instance back", ""),
    row("Server.SpotInstanceTermination", Replace, "AWS took the spot instance back", ""),
    row(
        "Server.ScheduledStop",
        LookAgain,
        "AWS stopped the instance on a scheduled retirement",
        "start it again",
    ),
    row("Server.*", Replace, "AWS lost the instance by an error of its own", "a new attempt is made"),
    row(
        "Client.*",
        Stop,
        "the instance could not be started as it was asked for",
        "change what the message names",
    ),
    // Families.
    row("*.NotFound", LookAgain, "the resource does not exist, or is too new to be seen everywhere", ""),
    row("*.Duplicate", LookAgain, "a resource of this name or content exists already", ""),
    row("*.Malformed", Stop, "an identifier is malformed", "report it with the request id"),
    row("*LimitExceeded", Stop, "a limit of the account is reached", ASK_QUOTA),
];
